package istio

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/netns"
)

// shopURLs lead to what is not the gateway's: another host, and another path of its own.
var shopURLs = []string{"http://shop.example.com:8080/mcp", "http://mcp.example.com:8080/shop"}

// others calls what is not the gateway's, through the same listener.
func (w *world) others() {
	seen := w.shop()
	for _, url := range shopURLs {
		c := harness.NewClient(w.t, url).With("X-Mcp-Thing: theirs", "Cookie: a=b", "Authorization: Bearer theirs", "Origin: https://elsewhere.example", "Content-Type: text/plain")
		r := c.Do(http.MethodPut, strings.Repeat("no JSON ", 1<<20))
		if r.Status != http.StatusTeapot || len(r.Body) != 8<<20 || r.Header.Get("Set-Cookie") != "shop=1" {
			w.t.Errorf("%s: status %d, %d bytes, %v", url, r.Status, len(r.Body), r.Header)
			continue
		}
		h := (<-seen).Header
		// As the endpoint's HTTPRoute tells the broker whom a request is from.
		if peer := h.Get("X-Peer"); strings.Contains(url, "shop.") && !isAddress(peer) {
			w.t.Errorf("%s: the peer is %q", url, peer)
		}
		for name, want := range map[string]string{"X-Mcp-Thing": "theirs", "Cookie": "a=b", "Authorization": "Bearer theirs", "Origin": "https://elsewhere.example"} {
			if h.Get(name) != want {
				w.t.Errorf("%s: %s is %q", url, name, h.Get(name))
			}
		}
	}
}

// shop is a server of others' that answers what it is sent, and tells of each request.
func (w *world) shop() <-chan *http.Request {
	w.t.Helper()
	seen := make(chan *http.Request, 1)
	address := netns.PodAddress()
	serveHTTP(w.t, address+":9000", func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		seen <- r
		rw.Header().Set("set-cookie", "shop=1")
		rw.WriteHeader(http.StatusTeapot)
		_, _ = rw.Write(body)
	})
	w.service("shop", address)
	w.Apply(route("shop", "shop.example.com", "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-peer, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}]}}], backendRefs: [{name: shop, port: 9000}]}"))
	w.Apply(route("shop-too", "mcp.example.com", "{matches: [{path: {type: PathPrefix, value: /shop}}], backendRefs: [{name: shop, port: 9000}]}"))
	for _, url := range shopURLs {
		harness.Eventually(w.t, url, func() bool {
			r := get(url)
			if r.Status == http.StatusTeapot {
				<-seen
			}
			return r.Status == http.StatusTeapot
		})
	}
	return seen
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func serveHTTP(t *testing.T, address string, handler http.HandlerFunc) {
	t.Helper()
	s := &http.Server{Addr: address, Handler: handler}
	ended := make(chan error, 1)
	go func() { ended <- s.ListenAndServe() }()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
}

// pages has web pages of an origin use the endpoint.
func (w *world) pages() {
	w.Apply(strings.Replace(w.gateway(), "hostnames:", `allowedOrigins: ["https://app.example"], hostnames:`, 1))
	c := harness.NewClient(w.t, endpoint).With("Origin: https://app.example")
	harness.Eventually(w.t, "a preflight", func() bool {
		r := c.With("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: mcp-session-id").Do(http.MethodOptions, "")
		return r.Status == http.StatusOK && r.Header.Get("Access-Control-Allow-Origin") == "https://app.example" &&
			strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Allow-Headers")), "mcp-session-id")
	})
	r := c.Initialize()
	if r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Expose-Headers")), "mcp-session-id") {
		w.t.Errorf("a page may not read the answer: %v", r.Header)
	}
	if r := c.With("Origin: https://elsewhere.example").Post("{}"); r.Status != http.StatusForbidden || r.Header.Get("Access-Control-Allow-Origin") != "" {
		w.t.Errorf("another origin: %s %v", r, r.Header)
	}
	w.Apply(w.gateway())
}
