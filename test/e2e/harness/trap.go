package harness

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// Trap is a port to which nobody must connect. It is looked at once more when
// everything that the test started afterwards has ended.
type Trap struct {
	// Addr is its host and port, URL the http URL of that, without a path.
	Addr, URL string
	touched   atomic.Int64
}

// NewTrap sets one.
func NewTrap(t testing.TB) *Trap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Trap{Addr: l.Addr().String(), URL: "http://" + l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.touched.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		p.Untouched(t, "at the end")
	})
	return p
}

// Untouched checks that nobody has connected since it was asked last.
func (p *Trap) Untouched(t testing.TB, what string) {
	t.Helper()
	if n := p.touched.Swap(0); n > 0 {
		t.Errorf("%s: %d connections to an address that a server or a client has named", what, n)
	}
}

// Fill puts the trap's address in the place of TRAP.
func (p *Trap) Fill(text string) string { return strings.ReplaceAll(text, "TRAP", p.Addr) }
