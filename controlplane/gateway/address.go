package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// SplitListen reads Gateway.Listen into the address that Envoy binds.
func SplitListen(listen string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want host:port, as 127.0.0.1:8888", listen)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: the port is no number from 0 to 65535", listen)
	}
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q: the host must be an IP address or localhost", listen)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// pointsTo reports whether u is the endpoint at listen: calls would go round
// for ever. Only what can be told without DNS.
func pointsTo(u *url.URL, listen string) bool {
	at, err := SplitListen(listen)
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if err != nil || at.Port() == 0 || port != strconv.Itoa(int(at.Port())) {
		return false
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr == at.Addr() || addr.IsLoopback() && at.Addr().IsUnspecified() && addr.Is4() == at.Addr().Is4())
}

var hostname = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

// badHostname tells what is wrong with one of Gateway.Hostnames.
func badHostname(h string) string {
	switch {
	case strings.Contains(h, "*"):
		return "is a wildcard: write each hostname"
	case h != strings.ToLower(h):
		return "must be in lower case"
	case isIPv6(strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")), isHost(h):
		return ""
	}
	return "is no hostname (without port)"
}

// isAuthority reports whether s is host or host:port, an IPv6 host in brackets.
func isAuthority(s string) bool {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		port, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || port == 0 {
			return false
		}
		host = s[:i]
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		return closed && isIPv6(inner)
	}
	return isHost(strings.ToLower(host))
}

func isHost(h string) bool { return len(h) <= 253 && hostname.MatchString(h) }

func isIPv6(h string) bool {
	addr, err := netip.ParseAddr(h)
	return err == nil && addr.Is6() && addr.Zone() == ""
}

func isOrigin(o string) bool {
	u, err := url.Parse(o)
	return err == nil && u.Scheme != "" && o == strings.ToLower(u.Scheme+"://"+u.Host) && isAuthority(u.Host)
}
