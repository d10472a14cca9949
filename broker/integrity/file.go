package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"mcp-gateway/internal/pin"
)

// File is a Store in a file in the form of a lock file, of one broker alone.
// Without a path it is in memory.
type File struct {
	path string

	mu   sync.Mutex
	lock pin.Lock // nil: not read yet
}

// NewFile returns a File. The file is read when it is needed first, and need not
// be there.
func NewFile(path string) *File { return &File{path: path} }

// read reads the file, once. A broken one is an error each time: to go on without
// it would trust anything.
func (f *File) read() error {
	if f.lock != nil {
		return nil
	}
	if f.path == "" {
		f.lock = pin.Lock{}
		return nil
	}
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.lock = pin.Lock{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what is trusted: %w", err)
	}
	lock, err := pin.Parse(text)
	if err != nil {
		return fmt.Errorf("%s %w", f.path, err)
	}
	f.lock = lock
	return nil
}

// write replaces the file, so that it is whole at any time.
func (f *File) write(lock pin.Lock) error {
	if f.path == "" {
		f.lock = lock
		return nil
	}
	text, err := lock.Text()
	if err != nil {
		return err
	}
	if err := Replace(f.path, text, 0o600); err != nil {
		return fmt.Errorf("keep what is trusted: %w", err)
	}
	f.lock = lock
	return nil
}

// Replace puts text in the place of a file, as a whole or not at all. Its directory
// must be there.
func Replace(path string, text []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	next, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the directory %s: it is not there", dir)
	}
	if err != nil {
		var of *fs.PathError
		if errors.As(err, &of) {
			err = of.Err // the name is by chance
		}
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	_, err = next.Write(text)
	err = errors.Join(err, next.Chmod(mode), next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}

// Load implements Store.
func (f *File) Load(_ context.Context, server string) (pin.Set, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.lock[server], nil
}

// First implements Store.
func (f *File) First(_ context.Context, server string, set pin.Set) error {
	return f.change(server, func(s pin.Set) bool { return s.Add(set) })
}

// Put implements Store.
func (f *File) Put(_ context.Context, server string, entries map[pin.Item]pin.Entry) error {
	return f.change(server, func(s pin.Set) bool {
		for i, e := range entries {
			s.Put(i, e)
		}
		return true
	})
}

func (f *File) change(server string, change func(pin.Set) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return err
	}
	next := f.lock.Clone()
	if next[server] == nil {
		next[server] = pin.Set{}
	}
	if !change(next[server]) {
		return nil
	}
	return f.write(next)
}

// Changes implements Store: nobody else changes anything.
func (f *File) Changes(ctx context.Context) <-chan string {
	out := make(chan string)
	context.AfterFunc(ctx, func() { close(out) })
	return out
}
