package broker

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
)

// Calls between the eras are bounded in both directions.
func TestCallsBetweenTheErasAreBounded(t *testing.T) {
	t.Parallel()
	few := func(l *gatewayconfig.Limits) { l.Calls = 1 }
	t.Run("to modern", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			one := modernOne("a")
			closed := hanging(one)
			g := newGateway(t, setup{config: limited(few)}, map[string]http.Handler{"one": one})
			id := g.open()
			first := g.begin(id, toolCall("one_a", ""))
			synctest.Wait()
			g.wantBusy(g.request("POST", toolCall("one_a", ""), map[string]string{"Mcp-Session-Id": id}), "calls")
			g.request("DELETE", "", map[string]string{"Mcp-Session-Id": id})
			<-closed
			for range first.lines {
			}
			synctest.Wait()
			if n := g.broker.crossings.count; n != 0 {
				t.Errorf("%d calls are counted when all have ended", n)
			}
		})
	})
	t.Run("to legacy", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			one, release := holding("a")
			g := newGateway(t, setup{config: limited(few)}, map[string]http.Handler{"one": one})
			call := func() answer {
				return g.request("POST", stateless("1", "tools/call", `"name":"one_a","arguments":{}`), mirrors("tools/call", "one_a"))
			}
			first := make(chan answer)
			go func() { first <- call() }()
			synctest.Wait()
			if !strings.Contains(g.metrics(), "mcp_broker_calls 1\n") {
				t.Error("the metrics have no call")
			}
			g.wantBusy(call(), "calls")
			close(release)
			if got := <-first; got.status != 200 {
				t.Errorf("the first call: %d %s", got.status, got.body)
			}
		})
	})
}

// One principal's calls to stateless servers leave room for those of others.
func TestOnePrincipalHasAShareOfTheCallsToModern(t *testing.T) {
	t.Parallel()
	x := crossings{bySession: make(map[session.Key]map[*crossing]struct{}), ofOne: make(map[string]int)}
	of := func(who string) *crossing { return &crossing{call: &call{session: session.Session{Principal: who}}} }
	var hogs []*crossing
	for range 5 {
		hogs = append(hogs, of("hog"))
		if !x.add(hogs[len(hogs)-1], 20) {
			t.Fatal("a call within the share is refused")
		}
	}
	if x.add(of("hog"), 20) || !x.add(of("other"), 20) {
		t.Error("a share is not kept to")
	}
	for range 14 { // who cannot be told apart have what is left
		if !x.add(of(""), 20) {
			t.Error("a call within the limit is refused")
		}
	}
	x.remove(hogs[0])
	if !x.add(of("hog"), 20) || x.add(of("other"), 20) {
		t.Error("an end is not counted")
	}
}

// holding returns a server that answers calls after the release.
func holding(tool string) (one *rawserver.Server, release chan struct{}) {
	one, release = raw(tool), make(chan struct{})
	one.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
		if method == "tools/call" {
			<-release
		}
		return false
	}
	return one, release
}

func (g *gateway) wantBusy(got answer, limit string) {
	g.t.Helper()
	if got.status != 503 || !strings.Contains(got.body, "-32603") || got.header.Get("Retry-After") == "" {
		g.t.Errorf("one too many: %d %v %s", got.status, got.header, got.body)
	}
	if n := g.refused(limit); n != "1" {
		g.t.Errorf("%s is counted %s times, want once", limit, n)
	}
}

// Sessions that clients without sessions share are bounded, and counted.
func TestPooledSessionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, release := holding("a")
		g := newGateway(t, setup{config: limited(func(l *gatewayconfig.Limits) { l.PooledSessions = 1 })}, map[string]http.Handler{"one": one})
		call := func(who string) answer {
			header := mirrors("tools/call", "one_a")
			header["Authorization"] = "Bearer " + who
			return g.request("POST", stateless("1", "tools/call", `"name":"one_a","arguments":{}`), header)
		}
		first := make(chan answer)
		go func() { first <- call("ada") }()
		synctest.Wait()
		if got := call("bob"); !strings.Contains(got.body, "-32603") || g.refused("pooledSessions") != "1" {
			t.Errorf("one too many: %d %s, counted %s", got.status, got.body, g.refused("pooledSessions"))
		}
		close(release)
		<-first
		if got := call("bob"); !strings.Contains(got.body, "no such method") { // says the server
			t.Errorf("once there is room: %d %s", got.status, got.body)
		}
	})
}

// Calls that wait for input are bounded, and counted.
func TestWaitingCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config("one", "two")
		c.Limits.WaitingCalls = 1
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": askingTwice(), "two": askingTwice()})
		synctest.Wait()
		wantWaiting := func(n string) {
			t.Helper()
			if !strings.Contains(g.metrics(), "mcp_broker_waiting_calls "+n+"\n") {
				t.Errorf("the metrics do not have %s waiting calls", n)
			}
		}
		asked := mustAsk(t, g.call("a", everyInput, "", "", nil))
		wantWaiting("1")
		if n := g.refused("waitingCalls"); n != "0" {
			t.Errorf("counted %s times before there are too many", n)
		}
		if got := g.request("POST", declaring("7", "tools/call", `"name":"two_a"`, everyInput, ""), mirrors("tools/call", "two_a")); !strings.Contains(got.body, "-32603") {
			t.Errorf("one too many: %d %s", got.status, got.body)
		}
		if n := g.refused("waitingCalls"); n != "1" {
			t.Errorf("counted %s times, want once", n)
		}
		if got := g.call("a", everyInput, withState(bothInputs, asked.Result.RequestState), "", nil); got.body != toldBoth {
			t.Errorf("the first call: %s", got.body)
		}
		wantWaiting("0")
		mustAsk(t, g.call("a", everyInput, "", "", nil))
	})
}

// Sessions at a bridged server are bounded, and counted.
func TestBridgedSessionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := bridgedConfig("one")
		c.Limits.BridgedSessions = 2 // discovery's and a client's
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": newOldServer(raw("a"))})
		synctest.Wait()
		resolve := func(id string) int {
			_, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id))
			return status
		}
		first, second := g.open(), g.open()
		if status := resolve(first); status != 200 {
			t.Fatalf("resolve: %d", status)
		}
		if n := g.refused("bridgedSessions"); n != "0" {
			t.Errorf("counted %s times before there are too many", n)
		}
		if status := resolve(second); status == 200 {
			t.Error("one too many is opened")
		}
		if n := g.refused("bridgedSessions"); n != "1" {
			t.Errorf("counted %s times, want once", n)
		}
		g.request("DELETE", "", map[string]string{"Mcp-Session-Id": first})
		synctest.Wait()
		if status := resolve(second); status != 200 {
			t.Errorf("once there is room: %d", status)
		}
	})
}

// HTTP+SSE clients are bounded, and counted.
func TestSSEClientsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newLoop(t)
		c := g.broker.view.Load().config
		c.Limits.SSEClients = 1
		g.apply(c)
		g.path = "/mcp/sse"
		first := make(chan answer)
		header := map[string]string{"Accept": "text/event-stream"}
		go func() { first <- g.request("GET", "", header) }()
		synctest.Wait()
		if !strings.Contains(g.metrics(), "mcp_broker_sse_clients 1\n") {
			t.Error("the metrics have no client")
		}
		g.wantBusy(g.request("GET", "", header), "sseClients")
		time.Sleep(time.Minute) // who does not initialize has to go
		<-first
		if !strings.Contains(g.metrics(), "mcp_broker_sse_clients 0\n") {
			t.Error("a client is counted that has gone")
		}
	})
}
