package e2e

import (
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Once rules hide a resource nothing that is open tells of it: not a session's stream,
// nor that of a call, nor a subscription without a session.
func TestWhatIsOpenTellsOfNothingThatNewRulesHide(t *testing.T) {
	t.Parallel()
	for name, era := range map[string]mcpserver.Era{"server with sessions": mcpserver.Legacy, "stateless server": mcpserver.Modern} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := diary(era)
			script.Capabilities = `{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}`
			cal := mcpserver.Start(t, script)
			cal.Handle("resources/subscribe", "", func(x *mcpserver.Exchange) { x.Result("{}") })
			calls := make(chan *mcpserver.Stream, 1)
			cal.Handle("tools/call", "list_events", func(x *mcpserver.Exchange) {
				calls <- x.Stream()
				mcpserver.Hang(x)
			})
			issuer := harness.NewIssuer(t)
			config := harness.Config{Servers: []harness.Server{behind(cal, "cal")}, Auth: issuer.Auth(guarded)}
			g := harness.Run(t, config)
			c := asTokens{t: t, g: g, issuer: issuer}.client("read")

			const both = `["cal://today","cal://other"]`
			for _, uri := range []string{"cal://today", "cal://other"} {
				c.Request("resources/subscribe", `{"uri":"`+uri+`"}`)
			}
			streams := map[string]*harness.Stream{"a session's": c.Listen()}
			cal.Wait(harness.Patience, "the session's stream", func() bool { return cal.Streams() == 2 })
			listening := modernClient(c, "subscriptions/listen", "").Open(http.MethodPost, modernBody("subscriptions/listen", `"notifications":{"resourceSubscriptions":`+both+`}`))
			wantEvent(t, listening, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"notifications":{"resourceSubscriptions":`+both+`}}}`)
			streams["a subscription's"] = listening
			caller, body := c, call("1", "cal_list_events")
			read := func() string {
				return c.Post(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"cal://today"}}`).Body
			}
			if era == mcpserver.Modern {
				caller, body = modernClient(c, "tools/call", "cal_list_events"), modernBody("tools/call", `"name":"cal_list_events"`)
				read = func() string {
					return modernClient(c, "resources/read", "cal://today").Post(modernBody("resources/read", `"uri":"cal://today"`)).Body
				}
			}
			streams["a call's"] = caller.Open(http.MethodPost, body)
			inCall := <-calls

			say := func(uri string) {
				cal.Updated(uri)
				inCall.Updated(uri)
			}
			next := func(uri string) {
				t.Helper()
				for which, s := range streams {
					for {
						got := s.Next()
						if strings.Contains(got, "list_changed") {
							continue
						}
						if !strings.Contains(got, uri) {
							t.Errorf("%s stream tells %s, want %s", which, got, uri)
						}
						break
					}
				}
			}
			say("cal://today")
			next("cal://today")
			config.More = "authorization: {default: allow, rules: [{name: hidden, effect: deny, resources: ['cal://today']}]}\n"
			g.Reload(config)
			harness.Eventually(t, "the new rules are in force", func() bool { return strings.Contains(read(), "not found") })
			say("cal://today")
			say("cal://other")
			next("cal://other")
		})
	}
}
