package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// A key that its issuer withdraws verifies nothing any more, nor what Envoy has
// verified with it before; clients with other tokens notice nothing.
func TestWithdrawnKeyCountsNoMore(t *testing.T) {
	t.Parallel()
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	a, issuer, other := mcpserver.Start(t, one("a")), harness.NewIssuer(t), harness.NewIssuer(t)
	g := harness.Run(t, harness.Config{
		Servers: []harness.Server{behind(a, "a")},
		Auth: []string{"resource: " + guarded, "keysRefresh: 1s", fmt.Sprintf(
			"issuers: [{issuer: %s, jwks: {url: %[1]s/jwks}}, {issuer: %s, jwks: {url: %[2]s/jwks}}]", issuer.URL, other.URL)},
	})
	ada := connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, scoped)))
	bob := connectAs(t, g.URL, bearer(other.Token("bob", guarded, scoped)))
	ctx, cancel := context.WithCancel(t.Context())
	var all, warm sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for range 8 { // several, so that all workers have verified both
		warm.Go(func() {
			for range 10 {
				if r, err := ada.Try(ctx, "POST", ping); err != nil || !ok(r) {
					t.Errorf("%v %s", err, r)
				}
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				if r, err := bob.Try(ctx, "POST", call("1", "a_tool")); err == nil && !ok(r) {
					t.Errorf("another's call: %s", r)
				}
			}
		})
	}
	warm.Wait()
	issuer.Withdraw()
	began := time.Now()
	harness.Eventually(t, "the key counts no more", func() bool { return ada.Post(ping).Status == 401 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it counted for %v", took)
	}
	for range 20 {
		if r := ada.Post(ping); r.Status != 401 {
			t.Errorf("a worker believes it: %s", r)
		}
	}
	if r := ada.With(bearer(issuer.Token("ada", guarded, scoped))).Post(ping); r.Status != 200 {
		t.Errorf("with the next key: %s", r)
	}
}

// An API key that is taken out of the configuration lets nobody in, and ends what is
// open of its client; nobody else notices.
func TestKeyThatIsTakenOut(t *testing.T) {
	t.Parallel()
	a, issuer := mcpserver.Start(t, one("a")), harness.NewIssuer(t)
	config := func(clients string) harness.Config {
		return harness.Config{Servers: []harness.Server{behind(a, "a")}, Auth: issuer.Auth(guarded, "apiKeys: {clients: ["+clients+"]}")}
	}
	const next = "another-key-another-key-another"
	g := harness.Run(t, config("{name: ci, key: "+apiKey+"}, {name: other, key: "+next+"}"))
	ci, other, ada := connectAs(t, g.URL, "X-Api-Key: "+apiKey), connectAs(t, g.URL, "X-Api-Key: "+next), connectAs(t, g.URL, bearer(issuer.Token("ada", guarded, nil)))
	gone, subscribed := ci.Listen(), modernClient(ci, "subscriptions/listen", "").Open("POST", modernBody("subscriptions/listen", `"notifications":{"toolsListChanged":true}`))
	stay := []*harness.Stream{other.Listen(), ada.Listen()}
	g.Reload(config("{name: other, key: " + next + "}"))
	gone.End()
	subscribed.End()
	harness.Eventually(t, "the key counts no more", func() bool {
		return ci.Post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`).Status == 401
	})
	a.SetPages(mcpserver.ToolsList, `{"name":"new","inputSchema":{"type":"object"}}`)
	a.Notify("notifications/tools/list_changed")
	for _, s := range stay {
		s.Until("notifications/tools/list_changed")
	}
}
