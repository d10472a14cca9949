package filter

import (
	"strings"
	"testing"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
)

// What rules may hide from others no shared cache may keep, whatever its server says.
func TestAnswersUnderRulesArePrivate(t *testing.T) {
	t.Parallel()
	const public = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":5,"cacheScope":"public","contents":[]}}`
	private := strings.Replace(public, "public", "private", 1)
	for _, tt := range []struct {
		name, method, params, named string
		rules                       bool
		want                        string
	}{
		{"Rules", "resources/read", `"uri":"both+file:///a"`, "both+file:///a", true, private},
		{"NoRules", "resources/read", `"uri":"both+file:///a"`, "both+file:///a", false, public},
		{"NothingThatIsKept", "tools/call", `"name":"both_other"`, "both_other", true, public},
	} {
		g := accessGateway(t, func(_ *gatewayconfig.Filter, table *gatewayconfig.Table) {
			table.Tools["both_other"] = gatewayconfig.Target{Server: 4, Name: "other"}
			if !tt.rules {
				table.Authorization = nil
			}
		})
		for _, contentType := range []string{"application/json", "text/event-stream"} {
			s, d := post(g, stateless(tt.method, tt.params), append(statelessHeaders(tt.method, tt.named), "x-mcp-claims", reader)...)
			if s.phase != phaseServer {
				t.Fatalf("%s: not forwarded: %s", tt.name, d.Body)
			}
			if looks := d.PlainUnless&fromserver.WordPublic != 0; looks != (tt.want == private) {
				t.Errorf("%s: the host looks for %b", tt.name, d.PlainUnless)
			}
			in, want := public, tt.want
			if contentType != "application/json" {
				in, want = "data: "+in+"\n\n", "data: "+want+"\n\n"
			}
			s.ResponseHeaders(headersOf("200", contentType), false)
			got := in
			if d := s.ResponseBody([]byte(in), true); d.Replace {
				got = string(d.Body)
			}
			if got != want {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, got, want)
			}
		}
	}
}
