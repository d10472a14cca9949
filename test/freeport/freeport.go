// Package freeport finds addresses for programs that cannot listen on port 0: who
// starts one has to know its port before, or to start it there again.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// The ports lie below those that Linux, unless it is told otherwise, gives to
// connections and for port 0: what it gives away could not be kept from a program
// until that listens.
const (
	first = 20000
	count = 10000
)

// For returns an address of the loopback, "127.0.0.1:port", where nobody listens
// and that no other test gets until this one has ended, be it of another process.
func For(t testing.TB) string {
	t.Helper()
	addr, release, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

// Port is the port alone.
func Port(t testing.TB) int {
	t.Helper()
	return int(netip.MustParseAddrPort(For(t)).Port())
}

// Take is For until release, which must be called or kept.
func Take() (addr string, release func(), err error) {
	return from(rand.IntN(count)) //nolint:gosec // nobody has to guess it
}

// from is Take, the first one from a start on.
func from(start int) (addr string, release func(), err error) {
	for i := range count {
		addr = fmt.Sprintf("127.0.0.1:%d", first+(start+i)%count)
		// A name that is gone with its process, and has no file.
		var lock, l net.Listener
		if lock, err = net.Listen("unix", "@mcp-gateway/test/"+addr); err != nil {
			continue
		}
		if l, err = Listen(addr); err != nil {
			_ = lock.Close()
			continue
		}
		return addr, func() { _ = lock.Close() }, l.Close()
	}
	return "", nil, fmt.Errorf("no free port: %w", err)
}

// Listen is net.Listen for TCP, whose Close leaves the address free. net's leaves
// it taken while the process starts another one: that has all sockets, too, until
// it runs its own program.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return listener{l.(*net.TCPListener)}, nil
}

type listener struct{ *net.TCPListener }

// Close ends the listening itself, whoever has the socket.
func (l listener) Close() error {
	if c, err := l.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RD) })
	}
	return l.TCPListener.Close()
}
