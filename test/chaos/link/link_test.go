package link_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/chaos/link"
)

// echo answers what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func says(c net.Conn) error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// Faults hit what comes from the named process, open connections and new ones, and
// nothing else.
func TestFaultsHitTheirProcess(t *testing.T) {
	t.Parallel()
	who := link.NewWho()
	who.Add(os.Getpid(), "me")
	k, err := link.New("127.0.0.1:0", echo(t), who)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := dial(t, k.Addr())
	for _, f := range []link.Fault{link.Cut, link.Silent} {
		k.Set("somebody else", f)
		if err := says(c); err != nil {
			t.Fatalf("another's fault %d: %v", f, err)
		}
	}
	k.Set("me", link.Silent)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(c, make([]byte, 1))
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("an answer over a silent link: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	k.Set("me", link.None)
	if err := <-answered; err != nil {
		t.Fatalf("after the silence: %v", err)
	}
	k.Set("me", link.Cut)
	if err := says(c); err == nil {
		t.Error("an open connection outlives the cut")
	}
	if fresh, err := net.Dial("tcp", k.Addr()); err == nil {
		if err := says(fresh); err == nil {
			t.Error("a new connection over a cut link")
		}
		_ = fresh.Close()
	}
	k.Set("me", link.None)
	if err := says(dial(t, k.Addr())); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

// What is lost comes late, and all of it in order.
func TestLossyLinkBringsAll(t *testing.T) {
	t.Parallel()
	k, err := link.New("127.0.0.1:0", echo(t), link.NewWho())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	k.Set("", link.Lossy)
	c := dial(t, k.Addr())
	began := time.Now()
	for range 100 {
		if err := says(c); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("200 pieces took %v: none was lost", took)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}
	n, err := link.NewNames("brokers.test", want...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(n.Port())).String())
	}}
	got, err := r.LookupNetIP(t.Context(), "ip4", "brokers.test")
	slices.SortFunc(got, netip.Addr.Compare)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := r.LookupNetIP(t.Context(), "ip4", "others.test"); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("another name: %v", err)
	}
}
