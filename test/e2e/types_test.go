package e2e

import (
	"net/http"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// An event stream that its server labels as JSON, too, is one for no client: there are
// libraries that look into the content type for a word, and events of it would reach
// them with ids and texts that no gateway has read. What is JSON stays so.
func TestAnswersLeaveWithABareType(t *testing.T) {
	t.Parallel()
	plain, linked := mcpserver.Start(t, tools("plain", "tool")), mcpserver.Start(t, one("linked"))
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(plain, "plain"), behind(linked, "linked")}})
	c := harness.Connect(t, g.URL)
	const events = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}\n\n"
	for _, tt := range []struct {
		types []string
		want  string // empty for the gateway's own error
	}{
		{[]string{"application/json"}, "application/json"},
		{[]string{"application/json; charset=utf-8"}, "application/json"},
		{[]string{"Application/JSON;charset=UTF-8"}, "application/json"},
		{[]string{"application/json; x=text/event-stream"}, "application/json"},
		{[]string{"application/json, text/event-stream"}, ""},
		{[]string{"application/json", "text/event-stream"}, ""},
		{[]string{"text/event-stream", "application/json"}, ""},
		{[]string{"application/json-seq"}, ""},
		{[]string{"text/event-stream; x=application/json"}, "text/event-stream"},
	} {
		for name, server := range map[string]*mcpserver.Server{"plain": plain, "linked": linked} {
			sent := `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
			if tt.want != "application/json" {
				sent = events
			}
			server.Handle("tools/call", "tool", func(x *mcpserver.Exchange) {
				x.Header()["Content-Type"] = tt.types
				x.Respond(http.StatusOK, "", []byte(sent))
			})
			r := c.Post(call("1", name+"_tool"))
			switch types := r.Header.Values("Content-Type"); {
			case tt.want == "":
				wantError(t, r, 200, -32603, "1")
			case len(types) != 1 || types[0] != tt.want:
				t.Errorf("%s, %q: leaves as %q", name, tt.types, types)
			case tt.want == "application/json" && r.Body != sent:
				t.Errorf("%s, %q: %s", name, tt.types, r)
			}
		}
	}
}
