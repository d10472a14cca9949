//go:build !linux

package runner

import (
	"net"
	"net/netip"
	"os"
)

// reserve finds out who has the address, and keeps nothing: only Linux shares a
// bound address with Envoy's listeners alone. See hold_linux.go for shared.
func reserve(at netip.AddrPort, shared bool) (*os.File, netip.AddrPort, error) {
	if shared {
		return nil, at, nil
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, at, err
	}
	return nil, l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}
