package e2e

import (
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// bothErasCall calls a tool of the server py in a session that is open already,
// and without one.
func bothErasCall(t *testing.T, session *harness.Client, when string) {
	t.Helper()
	contains(t, when+", in a session", session.Tool("py_add", `{"a":2,"b":40}`), "42")
	without := modernClient(harness.NewClient(t, session.URL), "tools/call", "py_add")
	r := without.Post(modernBody("tools/call", `"name":"py_add","arguments":{"a":20,"b":22}`))
	if !ok(r) {
		t.Errorf("%s, without a session: %s", when, r)
	}
	contains(t, when+", without a session", r.Body, "42")
}

// The era of a server changes in the file: nobody's session ends.
func TestConfiguredEraChanges(t *testing.T) {
	t.Parallel()
	url, weather := harness.Eras(t, "python", both), harness.Demo(t, "weather")
	config := func(era string) harness.Config {
		return harness.Config{Servers: []harness.Server{
			{Name: "py", URL: url, Prefix: "py_", Extra: []string{"era: " + era}},
			{Name: "weather", URL: weather, Prefix: "weather_"},
		}}
	}
	g := harness.Run(t, config("auto"))
	session := harness.Connect(t, g.URL)
	bothErasCall(t, session, "auto")
	for _, era := range []struct{ configured, found string }{{"modern", modern}, {"legacy", legacy}, {"auto", both}, {"legacy", legacy}, {"modern", modern}} {
		g.Reload(config(era.configured))
		untilEra(t, g, "py", era.found)
		untilCalls(t, session)
		bothErasCall(t, session, era.configured)
	}
}

// Another version of the server takes its place, which speaks another era: nobody
// tells the gateway, and nobody's session ends.
func TestServerIsReplacedByOneOfAnotherEra(t *testing.T) {
	t.Parallel()
	for _, sdk := range []string{"python", "typescript"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			addr := harness.FreeAddr(t)
			p, url := harness.ErasAt(t, sdk, legacy, addr)
			g := harness.Run(t, harness.Config{Servers: []harness.Server{
				{Name: "py", URL: url, Prefix: "py_"}, {Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
			}})
			session := harness.Connect(t, g.URL)
			bothErasCall(t, session, legacy)
			for _, era := range []string{both, modern, legacy} {
				p.Kill()
				p, _ = harness.ErasAt(t, sdk, era, addr)
				untilCalls(t, session)
				untilEra(t, g, "py", era)
				bothErasCall(t, session, era)
			}
		})
	}
}

// untilCalls waits until calls succeed in a session and without one: the filter
// asks for the new table beside its next request.
func untilCalls(t *testing.T, session *harness.Client) {
	t.Helper()
	without := modernClient(harness.NewClient(t, session.URL), "tools/call", "py_echo")
	harness.Eventually(t, "calls of both eras", func() bool {
		return ok(session.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"py_echo","arguments":{"text":"x"}}}`)) &&
			ok(without.Post(modernBody("tools/call", `"name":"py_echo","arguments":{"text":"x"}`)))
	})
}

// untilEra waits until the gateway has found the server to be of an era.
func untilEra(t *testing.T, g *harness.Gateway, server, era string) {
	t.Helper()
	harness.Eventually(t, server+" to be "+era, func() bool {
		for _, s := range g.Status() {
			if s.Name == server {
				return s.Era == era && s.State == "ready"
			}
		}
		return false
	})
}
