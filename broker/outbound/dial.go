package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialer opens connections. A name that leads to an address where clouds keep the
// credentials of a machine, or to one of the link alone, is refused after it was
// resolved: whoever owns a name decides where it leads. Who wants such an address
// writes it into the configuration itself.
type dialer struct{ plain, guarded net.Dialer }

func newDialer(connect time.Duration) dialer {
	d := dialer{plain: net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}}
	d.guarded = d.plain
	d.guarded.Control = guard
	return d
}

// DialContext is that of net.Dialer.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err == nil {
		if _, err := netip.ParseAddr(host); err == nil {
			return d.plain.DialContext(ctx, network, address)
		}
	}
	return d.guarded.DialContext(ctx, network, address)
}

// errRefused says why there is no connection.
var errRefused = errors.New("the name leads to an address that is not reached by name: of the link, of many, or of a cloud's metadata")

// guard looks at the address before anything is sent to it.
func guard(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || refused(at.Addr()) {
		return errRefused
	}
	return nil
}

// metadata are addresses of metadata services that no range below has: of AWS and
// Google over IPv6, of Alibaba, Oracle and Azure.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"), netip.MustParseAddr("168.63.129.16"),
}

// translated are the prefixes behind which an IPv4 address stands in the last four
// bytes (RFC 6052 section 2.1, RFC 4291 section 2.5.5.1).
var translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("::/96")}

// refused reports whether no name may lead to the address.
func refused(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range translated {
		if bytes := a.AsSlice(); a.Is6() && p.Contains(a) && !a.IsLoopback() && !a.IsUnspecified() {
			a, _ = netip.AddrFromSlice(bytes[12:])
		}
	}
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return true
	}
	for _, m := range metadata {
		if a == m {
			return true
		}
	}
	return false
}
