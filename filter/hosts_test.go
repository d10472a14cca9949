package filter

import "testing"

// What a Host and an Origin may look like, besides what the fuzzer finds: which
// of two readings another parser takes must not matter.
func TestHostsAndOrigins(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.hostnames["::1"] = true
	refusedFor := func(headers ...string) string {
		_, d := post(g, call("search"), headers...)
		if d.Action == Reply && d.Status == 403 {
			return d.Reason
		}
		return ""
	}
	for host, ok := range map[string]bool{
		"gw.example": true, "gw.example:8888": true, "GW.Example": true, "gw.example:": true, "[::1]": true, "[::1]:80": true,
		"": false, "evil.example": false, "gw.example.": false, "gw.example.evil.example": false, "evil.example:gw.example": false,
		"gw.example:80,evil.example": false, "gw.example:evil": false, "gw.example:80:80": false, "gw.example@evil.example": false,
		"evil@gw.example": false, "[gw.example]": false, "[::1]evil.example": false, "[::1": false, "::1": false, "gw.ex\u0430mple": false,
		"gw.example/": false, "gw.example ": false, "xn--gwexample": false, "169.254.169.254": false,
	} {
		if got := refusedFor(":authority", host); (got == "") != ok {
			t.Errorf("host %q: refused for %q", host, got)
		}
	}
	for origin, ok := range map[string]bool{
		"https://app.example": true, "HTTPS://App.Example": true, "http://gw.example": true, "https://gw.example:3000": true, "http://[::1]:3000": true,
		"null": false, "": false, "https://app.example:8443": false, "http://app.example": false, "https://app.example.evil.example": false,
		"https://evil.example": false, "https://gw.example@evil.example": false, "https://evil.example@gw.example": false,
		"https://gw.example:x": false, "https://gw.example/": false, "https://gw.example#": false, "https://gw.example\\evil.example": false,
		"chrome-extension://gw.example": false, "file://gw.example": false, "gw.example": false, "//gw.example": false,
		"https://app.example, https://evil.example": false, "https://[gw.example]": false, "https://xn--gw-example": false,
	} {
		if got := refusedFor("origin", origin); (got == "") != ok {
			t.Errorf("origin %q: refused for %q", origin, got)
		}
	}
	two := func(name, first, second string) string {
		s := new(Stream)
		s.Reset(g)
		d := s.RequestHeaders(append(postHeaders(name, first), Header{name, second}), false, 1)
		if d.Action != Reply {
			return ""
		}
		return d.Reason
	}
	for name, values := range map[string][2]string{
		"origin": {"https://evil.example", "https://app.example"}, "content-type": {"text/plain", "application/json"},
	} {
		if two(name, values[0], values[1]) == "" || two(name, values[1], values[0]) == "" {
			t.Errorf("%s: one of two is enough", name)
		}
	}
	s := new(Stream)
	s.Reset(g)
	if d := s.RequestHeaders(append([]Header{{"host", "evil.example"}}, postHeaders()...), false, 1); d.Reason != "host" {
		t.Errorf("two hosts: %v %q", d.Action, d.Reason)
	}
}
