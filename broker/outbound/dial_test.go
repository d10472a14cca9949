package outbound

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "169.254.170.2": true, "fe80::1": true, "fe80::1%eth0": true,
		"fd00:ec2::254": true, "fd20:ce::254": true, "100.100.100.200": true, "192.0.0.192": true, "168.63.129.16": true,
		"::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "::a9fe:a9fe": true,
		"0.0.0.0": true, "::": true, "224.0.0.1": true, "ff02::1": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "192.168.1.1": false, "93.184.216.34": false,
		"fd12::1": false, "2606:2800:220:1::1": false, "64:ff9b::a00:1": false,
	} {
		if got := refused(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: refused %t, want %t", address, got, want)
		}
	}
}

// What a name leads to is looked at before a connection is made; an address that
// stands in the configuration is the operator's own choice.
func TestNamesDoNotLeadToMetadata(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{"169.254.169.254:80": errRefused, "no port": errRefused, "127.0.0.1:80": nil} {
		if err := guard("tcp4", address, nil); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody reads it
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := newDialer(time.Second)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		conn, err := d.DialContext(t.Context(), "tcp4", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		_ = conn.Close()
	}
	// 0.0.0.0 reaches this machine as an address; as what a name leads to it must not.
	if _, err := d.guarded.DialContext(t.Context(), "tcp4", net.JoinHostPort("0.0.0.0", port)); !errors.Is(err, errRefused) {
		t.Errorf("0.0.0.0: %v", err)
	}
	if conn, err := d.DialContext(t.Context(), "tcp4", net.JoinHostPort("0.0.0.0", port)); err != nil {
		t.Errorf("an address of the configuration: %v", err)
	} else {
		_ = conn.Close()
	}
}
