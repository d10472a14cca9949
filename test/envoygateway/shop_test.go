package envoygateway

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/netns"
)

// shop is what else is behind the Gateway, without MCP.
type shop struct {
	client *harness.Client
	last   atomic.Pointer[http.Request]
	sent   atomic.Pointer[[]byte]
}

func newShop(w *world) *shop {
	w.t.Helper()
	address := netns.PodAddress()
	l, err := net.Listen("tcp", address+":9001")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &shop{client: harness.NewClient(w.t, w.URL+"?q=1").With("Host: shop.example", "X-Mcp-Own: kept", "Mcp-Session-Id: of-the-shop", "Cookie: c=d")}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	server.Start()
	w.t.Cleanup(server.Close)
	w.service("default", "shop", "{name: http, port: 9001}", address)
	w.Apply(route("shop", "shop.example", "shop"))
	harness.Eventually(w.t, "the shop's route", func() bool {
		r, err := s.client.Try(w.t.Context(), http.MethodPost, "{")
		return err == nil && r.Status == http.StatusTeapot
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing is seen
	s.sent.Store(&body)
	s.last.Store(r)
	w.Header().Set("Set-Cookie", "a=b")
	w.Header().Set("Mcp-Session-Id", "shop's")
	w.WriteHeader(http.StatusTeapot)
	_, _ = io.WriteString(w, "no tea") // whoever left misses nothing
}

// othersTraffic goes through the same listener as it came.
func othersTraffic(w *world, t *testing.T) {
	const body = "{ \"method\" : \"tools/call\",\t\"x\": [ 1,1 ] "
	r := w.shop.client.Post(body)
	if r.Status != http.StatusTeapot || r.Body != "no tea" || r.Header.Get("Set-Cookie") != "a=b" || r.Header.Get("Mcp-Session-Id") != "shop's" {
		t.Errorf("the answer came as %s with %v", r, r.Header)
	}
	got := w.shop.last.Load()
	if string(*w.shop.sent.Load()) != body || got.URL.String() != "/mcp?q=1" || got.Host != "shop.example" || got.Header.Get("X-Mcp-Own") != "kept" ||
		got.Header.Get("Mcp-Session-Id") != "of-the-shop" || got.Header.Get("Cookie") != "c=d" {
		t.Errorf("the request came as %s%s %q with %v", got.Host, got.URL, *w.shop.sent.Load(), got.Header)
	}
}
