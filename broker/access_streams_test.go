package broker

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/principal"
	"mcp-gateway/internal/tag"
)

// joinAs is join for a client that has proved who it is.
func (g *gateway) joinAs(session map[string]string, server string) {
	g.t.Helper()
	who, err := principal.FromClaims(session["X-Mcp-Claims"])
	if err != nil {
		g.t.Fatal(err)
	}
	if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":%q,"principal":%q}`, session["Mcp-Session-Id"], server, who.ID())); status != 200 {
		g.t.Fatalf("resolve: %d", status)
	}
	synctest.Wait()
}

// What a rule hides the client's stream does not tell of, nor of a server of which
// nothing is for it any more; what that asks is refused in its place.
func TestStreamTellsOfNothingThatRulesHide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTalker("a"), newTalker("b")
		c := accessConfig("one", "two")
		open := accessConfig("one", "two")
		open.Authorization.Rules[0].When = "true"
		g := newGateway(t, setup{config: open}, map[string]http.Handler{"one": one, "two": two})
		reader := g.openAs(scoped("read"))
		g.joinAs(reader, "one")
		g.joinAs(reader, "two")
		g.as = scoped("read")
		stream := g.listen(reader["Mcp-Session-Id"])
		stream.wantNext(t, nil)
		updated := func(uri string) string {
			return `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"` + uri + `"}}`
		}
		for _, hidden := range []string{"file:///secret/a", "file:///admin/a", "FILE:///secret/a"} {
			one.clients.Out <- "data: " + updated(hidden) + "\n\n"
		}
		stream.wantNext(t, nil)
		one.clients.Out <- "data: " + updated("file:///a") + "\n\n"
		stream.wantNext(t, event("", updated("one+file:///a")))
		two.clients.Out <- "data: " + updated("file:///a") + "\n\n"
		stream.wantNext(t, event("", updated("two+file:///a")))
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		stream.drain() // the lists have changed
		for _, message := range []string{updated("file:///a"), `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`, `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`} {
			two.clients.Out <- "data: " + message + "\n\n"
		}
		stream.wantNext(t, nil)
		one.clients.Out <- "data: " + updated("file:///a") + "\n\n"
		stream.wantNext(t, event("", updated("one+file:///a")))
	})
}

// Nor does a subscription: its server may tell of any URI of its own.
func TestSubscriptionTellsOfNothingThatRulesHide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTeller()
		c := accessConfig("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		g.as = scoped("read")
		s := g.subscribe(`1`, `{"resourceSubscriptions":["file:///a","file:///secret/a"]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["file:///a"]}`))
		updated := func(uri, meta string) string {
			return `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{` + meta + `"uri":"` + uri + `"}}`
		}
		for _, uri := range []string{"file:///secret/a", "file:///admin/a", "file:///a"} {
			one.out <- updated(uri, "")
		}
		s.expect(t, time.Second, updated("file:///a", `"_meta":{"io.modelcontextprotocol/subscriptionId":1},`))
	})
}

// Rules hide from the moment on at which they are in force, also what a subscription
// has been promised, and before its servers have been told so.
func TestSubscriptionHearsNothingOnceRulesHideIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTeller()
		c := tellers("one", "two")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": newTeller()})
		s := g.subscribe(`1`, `{"resourceSubscriptions":["one+file:///a"],"taskIds":["one+t"]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"resourceSubscriptions":["one+file:///a"],"taskIds":["one+t"]}`))
		task := `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t","status":"working"}}`
		one.out <- task
		s.expect(t, 0, `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"taskId":"one+t","status":"working"}}`)
		c.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Allow, Rules: []gatewayconfig.AccessRule{
			{Name: "no-one", Effect: gatewayconfig.Deny, Servers: []string{"one"}},
		}}
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		one.out <- task
		one.out <- isUpdated("ID", "file:///a")
		s.expect(t, time.Second)
		if one.open.Load() != 0 {
			t.Error("the server goes on telling")
		}
	})
}

// A task is heard of by who may use its tool, under the id that it has for it.
func TestSubscriptionToTasksOfTools(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTeller()
		one.Set("tools/list", toolList("a", "delete", "admin"))
		c := accessConfig("one", "two")
		c.Servers[0].Era = gatewayconfig.EraModern
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": raw("b")})
		time.Sleep(time.Second)
		synctest.Wait()
		g.as = scoped("read")
		who, err := principal.FromClaims(g.as["X-Mcp-Claims"])
		if err != nil {
			t.Fatal(err)
		}
		id := func(tool, own string) string {
			return `"one+` + tag.Owner{Key: g.broker.taskKey, Principal: who.ID(), Server: "one", Tool: tool}.Seal(own) + `"`
		}
		mine := id("one_a", "1")
		s := g.subscribe(`1`, `{"taskIds":[`+mine+`,`+id("one_delete", "2")+`,`+id("one_admin", "3")+`,`+id("one_gone", "4")+`,`+id("", "5")+`]}`)
		s.expect(t, time.Second, acknowledged(`1`, `{"taskIds":[`+mine+`]}`))
		if asked := one.asked.Load(); asked != `{"taskIds":["1"]}` {
			t.Errorf("the server was asked for %s", asked)
		}
		for _, own := range []string{"2", "3", "1"} {
			one.out <- `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"` + own + `"}}`
		}
		s.expect(t, time.Second, `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"taskId":`+mine+`}}`)
	})
}

// Nor is a server asked for it on behalf of a session.
func TestServerIsNotAskedForWhatRulesHide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, feed := modernOne("a"), rawserver.NewFeed()
		one.Listen = feed.Listen
		c := config("one", "two")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one, "two": raw("b")})
		id := g.open()
		stream := g.listen(id)
		for _, uri := range []string{"one+file:///a", "one+file:///secret/a"} {
			g.post(id, subscription("subscribe", uri))
			synctest.Wait()
		}
		c.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Allow, Rules: []gatewayconfig.AccessRule{
			{Name: "no-secrets", Effect: gatewayconfig.Deny, Resources: []string{"*file:///secret/*"}},
		}}
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := filters(one); got[len(got)-1] != `["file:///a"]` {
			t.Errorf("asked for %s", got)
		}
		c.Authorization = nil
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := filters(one); got[len(got)-1] != `["file:///a","file:///secret/a"]` {
			t.Errorf("asked for %s after it may be seen again", got)
		}
		stream.drain()
	})
}

// Arguments that are no object are none that a rule could read: what they decide is
// denied, by the broker as by the filter.
func TestArgumentsThatAreNoObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := modernOne("a")
		one.Set("tools/call", `{"content":[],"resultType":"complete"}`)
		c := accessConfig("one")
		c.Authorization = &gatewayconfig.Authorization{Default: gatewayconfig.Allow, Rules: []gatewayconfig.AccessRule{
			{Name: "no-force", Effect: gatewayconfig.Deny, When: `has(arguments.force)`},
		}}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		reader := g.openAs(scoped("read"))
		for arguments, status := range map[string]bool{`{}`: true, `null`: true, `{"force":1}`: false, `["force"]`: false, `"{\"force\":1}"`: false, `7`: false} {
			before := len(one.Requests("POST", "tools/call"))
			g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one_a","arguments":`+arguments+`}}`, reader)
			if called := len(one.Requests("POST", "tools/call")) > before; called != status {
				t.Errorf("%s: called %v", arguments, called)
			}
		}
	})
}
