package runner

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// reserve binds at without listening there. The kernel then refuses the address
// to everybody but sockets of the same user that ask for SO_REUSEPORT, as those
// of Envoy's listeners do, and connections until one of these listens. Shared says
// that such a socket may be there already; else it is found out. It returns the
// address with its port, where 0 may have been asked for.
func reserve(at netip.AddrPort, shared bool) (*os.File, netip.AddrPort, error) {
	var options []int
	if shared {
		options = []int{unix.SO_REUSEPORT}
	}
	socket, err := bind(at, options...)
	if errors.Is(err, unix.EADDRINUSE) {
		// What an earlier program's connections left there does no harm. But a Linux
		// before 6.8 would admit others' SO_REUSEADDR for it, until Envoy listens.
		socket, err = bind(at, append(options, unix.SO_REUSEADDR)...)
	}
	if err != nil {
		return nil, at, err
	}
	fd := int(socket.Fd()) //nolint:gosec // it was an int
	port, err := portOf(fd)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err != nil {
		_ = socket.Close()
		return nil, at, err
	}
	at = netip.AddrPortFrom(at.Addr(), port)
	// As Envoy does: where the options hold as they were at the bind, as in a
	// sandbox with a kernel of its own, it would be shut out, too.
	envoy, err := bind(at, unix.SO_REUSEADDR, unix.SO_REUSEPORT)
	if err != nil {
		_ = socket.Close()
		return nil, at, nil //nolint:nilerr // it is free, and cannot be held
	}
	_ = envoy.Close()
	return socket, at, nil
}

// bind makes a socket with options of SOL_SOCKET.
func bind(at netip.AddrPort, options ...int) (*os.File, error) {
	family, place := unix.AF_INET, unix.Sockaddr(nil)
	if at.Addr().Is4() {
		place = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		family, place = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) // as Envoy does
	}
	for _, option := range options {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1)
		}
	}
	if err == nil {
		err = unix.Bind(fd, place)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), at.String()), nil
}

func portOf(fd int) (uint16, error) {
	bound, err := unix.Getsockname(fd)
	switch bound := bound.(type) {
	case *unix.SockaddrInet4:
		return uint16(bound.Port), err //nolint:gosec // a port
	case *unix.SockaddrInet6:
		return uint16(bound.Port), err //nolint:gosec // a port
	}
	return 0, err
}
