// Package netns gives tests a network of their own: a loopback device, on which all
// addresses of Addresses are local, names that the tests give, and nothing else. So a
// process can listen where a pod would, as no EndpointSlice may name a loopback
// address; ports are the test's own; and nothing that runs in it reaches the world.
// Only tests import it.
package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Addresses are those that every process of the network can listen on.
var Addresses = netip.MustParsePrefix("10.250.0.0/16")

// pods counts the addresses that pods were given.
var pods atomic.Int32

// PodAddress is one of Addresses that no other pod of the network has. Those of
// 10.250.0.0/24 are left to tests that choose by themselves.
func PodAddress() string {
	n := pods.Add(1)
	return fmt.Sprintf("10.250.%d.%d", 1+n/250, 1+n%250)
}

// insideEnv tells the test binary that it was started in its own network.
const insideEnv = "MCP_GATEWAY_TEST_NETNS"

// Run is m.Run in a network of its own, in a process that it starts for that:
//
//	func TestMain(m *testing.M) { os.Exit(netns.Run(m)) }
func Run(m *testing.M) (code int) {
	if os.Getenv(insideEnv) != "" {
		if err := errors.Join(setUp(), serveNames()); err != nil {
			fmt.Fprintln(os.Stderr, "network of the tests:", err)
			return 1
		}
		return m.Run()
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), insideEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		// Who may do nothing here may do so in a user namespace.
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	err := c.Start()
	if err == nil {
		go func() {
			for sig := range told {
				_ = c.Process.Signal(sig)
			}
		}()
		err = c.Wait()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1) // -1 if a signal ended it
	}
	fmt.Fprintf(os.Stderr, "network of the tests: %v: it takes root, or user namespaces for everybody\n", err)
	return 1
}

// setUp brings the loopback device up and makes Addresses local to it.
func setUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	if err := control(fd, unix.SIOCSIFFLAGS, "lo", func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
		return nil
	}); err != nil {
		return err
	}
	return local(fd, "lo:1", Addresses)
}

// Local makes the addresses of one more network local.
func Local(network netip.Prefix) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	return local(fd, "lo:2", network)
}

// local gives a name of the loopback device the first address of a network: with its
// mask, that makes the whole network local.
func local(fd int, name string, network netip.Prefix) error {
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], ^uint32(0)<<(32-network.Bits()))
	for _, step := range []struct {
		request uint
		value   []byte
	}{{unix.SIOCSIFADDR, network.Masked().Addr().Next().AsSlice()}, {unix.SIOCSIFNETMASK, mask[:]}} {
		if err := control(fd, step.request, name, func(r *unix.Ifreq) error { return r.SetInet4Addr(step.value) }); err != nil {
			return err
		}
	}
	return nil
}

func control(fd int, request uint, device string, set func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	if err := set(r); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, request, r); err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	return nil
}
