package filter

import (
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// Only the broker learns the proof: on a request to it, or to a server that it
// serves.
func TestProofIsForTheBroker(t *testing.T) {
	t.Parallel()
	const proof = "Bearer s3cret"
	for _, test := range []struct {
		name, authority, path, body, want string
	}{
		{"a request for the broker", "weather:9001", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, proof},
		{"a call", "weather:9001", "/mcp", call("weather_get_weather"), "(removed)"},
		{"a call of a bridged server", gatewayconfig.BridgeAuthority, gatewayconfig.PathBridge + "weather", call("weather_get_weather"), proof},
		{"a server that calls itself like the bridges", gatewayconfig.BridgeAuthority, "/mcp", call("weather_get_weather"), "(removed)"},
	} {
		g, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		g.Prove([]byte(proof))
		putTable(t, g, gatewayconfig.Table{
			Version: "1", Servers: []gatewayconfig.TableServer{{Name: "weather", Cluster: "mcp-server-weather", Authority: test.authority, Path: test.path, Prefix: "weather_", Listed: true}},
			Tools: map[string]gatewayconfig.Target{"weather_get_weather": {Name: "get_weather"}},
		})
		justFetched(g)
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders("x-mcp-proof", "Bearer forged"), false, second)
		g.sessions.put(s.session, backend{place: "mcp-server-weather", id: []byte("b"), version: "2025-11-25", expires: 30 * second})
		d := s.RequestBody([]byte(test.body), second)
		if got := edits(d)["x-mcp-proof"]; d.Action != Pass || got != test.want {
			t.Errorf("%s: action %v, proof %q, want %q", test.name, d.Action, got, test.want)
		}
	}
}
