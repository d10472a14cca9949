package runner

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mcp-gateway/test/freeport"
)

// network is what Envoy has for an address: never both.
func network(address string) string {
	if netip.MustParseAddrPort(address).Addr().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// likeEnvoy opens a listener as Envoy opens those of its workers.
func likeEnvoy(t *testing.T, address string) net.Listener {
	t.Helper()
	control := func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(failed, err)
	}
	l, err := (&net.ListenConfig{Control: control}).Listen(context.Background(), network(address), address)
	if err != nil {
		t.Fatal("Envoy: ", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// program opens a listener as other programs do.
func program(address string) error {
	l, err := net.Listen(network(address), address)
	if err == nil {
		err = l.Close()
	}
	return err
}

// take is what h.take returns, which must not fail.
func take(t *testing.T, h *held, address string) string {
	t.Helper()
	taken, err := h.take(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.release)
	return taken
}

func wantHeld(t *testing.T, address string) {
	t.Helper()
	if err := program(address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another program at %s: %v", address, err)
	}
	if _, err := new(held).take(address); err == nil {
		t.Errorf("another gateway holds %s", address)
	}
}

func TestNobodyButEnvoyGetsAHeldAddress(t *testing.T) {
	t.Parallel()
	port := func() string { return freeport.For(t)[len("127.0.0.1"):] }
	for _, address := range []string{"127.0.0.1" + port(), "0.0.0.0" + port(), "[::1]" + port(), "[::]" + port()} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			if err := program(address); errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
				t.Skip("no IPv6 here: ", err)
			}
			h := new(held)
			take(t, h, address)
			wantHeld(t, address)
			// Two Envoys with two workers each, one after the other.
			for range 2 {
				envoy, second := likeEnvoy(t, address), likeEnvoy(t, address)
				_ = second.Close()
				for range 20 { // none goes to who only holds
					c, err := net.Dial(network(address), address)
					if err != nil {
						t.Fatal(err)
					}
					if c, err := envoy.Accept(); err != nil || c.Close() != nil {
						t.Fatal(err)
					}
					_ = c.Close()
				}
				wantHeld(t, address)
				_ = envoy.Close()
				if _, err := net.Dial(network(address), address); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("connected without an Envoy: %v", err)
				}
				wantHeld(t, address)
			}
			h.release()
			// What the connections left there is in nobody's way.
			again := new(held)
			take(t, again, address)
			wantHeld(t, address)
			likeEnvoy(t, address)
		})
	}
}

func TestAnAddressInUseIsNamedWithTheCure(t *testing.T) {
	t.Parallel()
	plain, err := net.Listen("tcp4", freeport.For(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	h := &held{file: "my.yaml"}
	for what, l := range map[string]net.Listener{"a program": plain, "another gateway's Envoy": likeEnvoy(t, freeport.For(t))} {
		_, err := h.take(l.Addr().String())
		for _, want := range []string{l.Addr().String(), "in use", "--listen", "gateway.listen in my.yaml"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v does not say %q", what, err, want)
			}
		}
	}
	// 192.0.2.0/24 is nobody's.
	for address, want := range map[string]string{"nonsense": "--listen: ", "192.0.2.1:80": "cannot listen on 192.0.2.1:80: "} {
		if _, err := h.take(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", address, err, want)
		}
	}
}

func TestPort0IsAFreeOne(t *testing.T) {
	t.Parallel()
	h := new(held)
	got := take(t, h, "localhost:0")
	if !strings.HasPrefix(got, "127.0.0.1:") || strings.HasSuffix(got, ":0") {
		t.Fatalf("took %s", got)
	}
	wantHeld(t, got)
	if again := take(t, h, got); again != got {
		t.Errorf("took %s for %s", again, got)
	}
}

// The file names another address, and the one before again.
func TestAHeldAddressStays(t *testing.T) {
	t.Parallel()
	h, before, other := new(held), freeport.For(t), freeport.For(t)
	take(t, h, before)
	envoy := likeEnvoy(t, before)
	take(t, h, other)
	wantHeld(t, before)
	wantHeld(t, other)
	take(t, h, before)

	// Its own Envoy is in the way of all interfaces; others still are.
	port := strings.TrimPrefix(before, "127.0.0.1")
	take(t, h, "0.0.0.0"+port)
	_ = envoy.Close()
	wantHeld(t, "127.0.0.9"+port)
	plain, err := net.Listen("tcp4", "127.0.0.9"+strings.TrimPrefix(other, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	for _, address := range []string{"0.0.0.0", "127.0.0.9"} {
		if _, err := h.take(address + strings.TrimPrefix(other, "127.0.0.1")); err == nil {
			t.Errorf("took %s from another program", address)
		}
	}
}

// Another gateway on another interface is no own Envoy.
func TestHoldsAreApartFromOtherGateways(t *testing.T) {
	t.Parallel()
	address := freeport.For(t)
	beside := "127.0.0.9" + strings.TrimPrefix(address, "127.0.0.1")
	h := new(held)
	take(t, h, address)
	likeEnvoy(t, beside)
	if _, err := h.take(beside); err == nil {
		t.Error("shares an address with another gateway's Envoy")
	}
}
