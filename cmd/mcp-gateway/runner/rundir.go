package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// maxSocketPath bounds the path of a unix socket in bytes; Linux has 108
	// with the closing zero.
	maxSocketPath = 107
	runPrefix     = "mcp-gateway-run-"
	lockName      = "lock"
)

// rundir is a folder for sockets that only this user enters. A lock on a file in
// it says that its gateway lives; what a killed one left, the next removes.
type rundir struct {
	path string
	lock *os.File
}

func newRundir() (*rundir, error) {
	var errs []error
	for _, parent := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if parent == "" {
			continue
		}
		removeStale(parent)
		d, err := makeRundir(parent)
		if err == nil {
			return d, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("make a folder for sockets: %w", errors.Join(errs...))
}

func makeRundir(parent string) (*rundir, error) {
	path, err := os.MkdirTemp(parent, runPrefix)
	if err != nil {
		return nil, err
	}
	if len(filepath.Join(path, "controlplane.sock")) > maxSocketPath {
		return nil, errors.Join(fmt.Errorf("%s is too long for sockets", path), os.Remove(path))
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &rundir{path: path, lock: lock}, nil
}

// removeStale removes the folders of gateways that are no more. Others' folders
// refuse to be opened, and so stay.
func removeStale(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, runPrefix+"*", lockName))
	for _, path := range found {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close()
	}
}

// socket is an address in the folder.
func (d *rundir) socket(name string) string { return "unix:" + filepath.Join(d.path, name) }

func (d *rundir) remove() {
	_ = os.RemoveAll(d.path)
	_ = d.lock.Close()
}
