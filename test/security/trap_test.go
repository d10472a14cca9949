package security

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// trap is a port to which nobody must connect.
type trap struct {
	addr    string
	touched atomic.Int64
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &trap{addr: l.Addr().String()}
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
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *trap) url(path string) string { return "http://" + p.addr + path }

// untouched checks that nobody has connected.
func (p *trap) untouched(t *testing.T, what string) {
	t.Helper()
	if n := p.touched.Swap(0); n > 0 {
		t.Errorf("%s: %d connections to an address that a server or a client has named", what, n)
	}
}

// fill puts the trap's address in the place of TRAP.
func (p *trap) fill(text string) string { return strings.ReplaceAll(text, "TRAP", p.addr) }

// oldServer is an HTTP+SSE server whose stream names any endpoint.
type oldServer struct {
	url   string
	asked atomic.Int64
}

func sseServer(t *testing.T, endpoint string) *oldServer {
	t.Helper()
	s := &oldServer{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", endpoint)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	s.url = web.URL + "/sse"
	return s
}
