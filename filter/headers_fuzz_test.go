package filter

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzRequestHeaders holds what passes against net/url, another reader of hosts,
// origins and paths: no request passes but one to the gateway's own host and
// endpoint, from an origin that may, and nothing passes with it that the gateway
// owns.
func FuzzRequestHeaders(f *testing.F) {
	for _, seed := range [][5]string{
		{"/mcp", "gw.example:8888", "https://app.example", "x-mcp-cluster", "mcp-server-docs"},
		{"/mcp?x=1", "GW.example", "http://gw.example:3000", "x-envoy-retry-on", "5xx"},
		{"/mcp/team", "gw.example", "null", "host", "gw.example"},
		{"//mcp", "gw.example:80,evil.example", "http://gw.example@evil.example", "origin", "https://evil.example"},
		{"/mcp/../mcp", "gw.example:x", "http://gw.example.evil.example", "content-type", "text/plain"},
		{"/mcp%2f", "[gw.example]", "chrome-extension://gw.example", "mcp-session-id", "s2"},
		{"/mcp;x", "user@gw.example", "http://gw.example:80:80", "x-mcp-claims", "e30"},
		{"/mcp#x", "gw.\u212axample", "http://gw.example/", "content-type", "application/json"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	g := newGateway(f)
	f.Fuzz(func(t *testing.T, path, host, origin, name, value string) {
		if strings.ContainsAny(path+host+origin+name+value, "\x00\r\n") || name == "" || name[0] == ':' || strings.ToLower(name) != name {
			return // no host passes these on
		}
		headers := append(postHeaders(":path", path, ":authority", host), Header{name, value})
		if origin != "" {
			headers = append(headers, Header{"origin", origin})
		}
		s := new(Stream)
		s.Reset(g)
		d := s.RequestHeaders(headers, false, second)
		if d.Action != NeedBody {
			return
		}
		if plain, _, _ := strings.Cut(path, "?"); plain != "/mcp" && (!strings.HasPrefix(plain, "/mcp/") || strings.ContainsAny(plain[5:], "/%;#.\\ ")) {
			t.Fatalf("path %q passes", path)
		}
		if u, err := url.Parse("http://" + host); err != nil || !strings.EqualFold(u.Hostname(), "gw.example") || u.User != nil || u.Path != "" {
			t.Fatalf("host %q passes", host)
		}
		for _, h := range headers {
			switch {
			case h.Name == "origin":
				u, err := url.Parse(h.Value)
				if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https" ||
					!strings.EqualFold(h.Value, "https://app.example") && !strings.EqualFold(u.Hostname(), "gw.example") {
					t.Fatalf("origin %q passes", h.Value)
				}
			case h.Name == "content-type" && !strings.EqualFold(strings.TrimSpace(strings.Split(h.Value, ";")[0]), "application/json"):
				t.Fatalf("content type %q passes", h.Value)
			case h.Name == "host" && h.Value != host:
				t.Fatalf("hosts %q and %q pass", host, h.Value)
			}
		}
		d = s.RequestBody([]byte(call("search")), second)
		if d.Action != Pass && d.Action != Ask {
			return
		}
		changed := edits(d)
		for _, h := range headers {
			owned := strings.HasPrefix(h.Name, "x-mcp-") || strings.HasPrefix(h.Name, "x-envoy-")
			if d.Action == Pass && owned && (changed[h.Name] == "" || changed[h.Name] == h.Value && h.Value != "mcp-server-docs") {
				t.Fatalf("%s: %q passes: %v", h.Name, h.Value, changed)
			}
		}
	})
}
