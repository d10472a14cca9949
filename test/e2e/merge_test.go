package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A client listens at one gateway and calls at another that shares its Redis:
// its stream carries what all its servers say, and each server knows what the
// client has set, also after it has forgotten the session.
func TestStreamOfAllServersAcrossGateways(t *testing.T) {
	t.Parallel()
	start := func(name string) *mcpserver.Server {
		script := one(name)
		script.Capabilities = `{"tools":{},"prompts":{},"resources":{"subscribe":true},"logging":{}}`
		s := mcpserver.Start(t, script)
		for _, method := range []string{"logging/setLevel", "resources/subscribe", "resources/unsubscribe"} {
			s.Handle(method, "", func(x *mcpserver.Exchange) { x.Result(`{}`) })
		}
		return s
	}
	a, b := start("a"), start("b")
	store := redistest.Start(t)
	config := harness.Config{
		Servers:  []harness.Server{behind(a, "a"), behind(b, "b")},
		Sessions: []string{"store: " + store.URL() + "/0"},
	}
	first, second := harness.Run(t, config), harness.Run(t, config)
	c := harness.Connect(t, first.URL)
	there := *c
	there.URL = second.URL
	stream := c.Listen()

	if got := there.Request("logging/setLevel", `{"level":"debug"}`); got != `{}` {
		t.Errorf("setLevel: %s", got)
	}
	wantTool(t, &there, "b_tool", "b", "tool")
	if got := b.Received("logging/setLevel"); len(got) != 1 || !strings.Contains(string(got[0].Body), `{"level":"debug"}`) {
		t.Errorf("b was told %v", got)
	}
	if got := there.Request("resources/subscribe", `{"uri":"a+test://resource"}`); got != `{}` {
		t.Errorf("subscribe: %s", got)
	}
	// Two gateways discover each server, and the client's stream.
	heard := func(s *mcpserver.Server, method string) {
		t.Helper()
		s.Wait(harness.Patience, "streams of both gateways and the client", func() bool { return s.Streams() == 3 })
		s.Notify(method)
		if got, want := stream.Next(), `{"jsonrpc":"2.0","method":"`+method+`"}`; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	heard(a, "notifications/a")
	heard(b, "notifications/b")

	before := len(a.Received("resources/subscribe"))
	a.ForgetSessions()
	a.Down()
	a.Up()
	a.Wait(harness.Patience, "subscription in a new session", func() bool { return len(a.Received("resources/subscribe")) > before })
	heard(a, "notifications/again")

	if r := there.Do(http.MethodDelete, ""); r.Status/100 != 2 {
		t.Fatalf("DELETE: %s", r)
	}
	stream.End()
}
