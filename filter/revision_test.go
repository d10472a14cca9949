package filter

import "testing"

// A client that names a revision that is served and sends the headers of later
// ones besides is served; those headers would contradict the body at the server.
func TestHeadersOfLaterRevisionsStayHere(t *testing.T) {
	t.Parallel()
	_, d := post(newGateway(t), call("weather_get_weather"), "mcp-method", "tools/call", "mcp-name", "weather_get_weather")
	if d.Action != Pass {
		t.Fatalf("action %v: %d %s", d.Action, d.Status, d.Body)
	}
	got := edits(d)
	for _, name := range []string{"mcp-method", "mcp-name"} {
		if got[name] != "(removed)" {
			t.Errorf("%s: %q, want it removed", name, got[name])
		}
	}
}
