package filter

import "testing"

// Where the operator admits requests without a session, they are the broker's;
// streams are not among them.
func TestWithoutASession(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Sessionless = true
	g := gatewayOf(t, config, testTable())
	_, d := post(g, call("weather_get_weather"), "mcp-session-id", "-")
	if d.Action != Pass || !d.Reroute || edits(d)["x-mcp-long"] != "1" || chosen(edits(d)) != "" || d.Splice.With != nil {
		t.Errorf("%+v", d)
	}
	if _, d := post(newGateway(t), call("weather_get_weather"), "mcp-session-id", "-"); d.Action != Reply || d.Status != 400 {
		t.Errorf("not admitted: %+v", d)
	}
	if _, d := post(g, call("weather_get_weather"), "mcp-session-id", "s1"); d.Action == Pass && edits(d)["x-mcp-long"] != "" {
		t.Errorf("with a session: %+v", d)
	}
}
