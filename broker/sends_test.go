package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// idp is a token endpoint: it gives "own" by client credentials, and in exchange
// for somebody's token one for that.
type idp struct {
	mu    sync.Mutex
	forms []string
	fails bool
}

func (i *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forms = append(i.forms, r.PostForm.Encode())
	token := "own"
	if subject := r.PostForm.Get("subject_token"); subject != "" {
		token = "for-" + subject
	}
	w.Header().Set("Content-Type", "application/json")
	if i.fails {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"%s"}`, r.PostForm.Get("subject_token"))
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"%s-%d","token_type":"Bearer","expires_in":600}`, token, len(i.forms))
}

func (i *idp) fail(fails bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = fails
}

func (i *idp) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.forms)
}

// sendingConfig has servers that are sent the gateway's own token where the broker
// speaks for itself, and else one of the caller.
func sendingConfig(names ...string) gatewayconfig.Broker {
	c := authConfig(names...)
	for i := range c.Servers {
		o := gatewayconfig.OAuth{TokenURL: "http://idp/token", ClientID: "gw", ClientSecret: "client-secret", Resource: "https://" + names[i]}
		c.Servers[i].OAuth, c.Servers[i].Exchange = &o, &o
		c.Servers[i].ForwardHeaders = []string{"x-tenant"}
	}
	return c
}

// of returns the headers of a subject's request, and others.
func of(subject string, others ...string) map[string]string {
	h := tokenOf(subject)
	h["Authorization"], h["X-Tenant"], h["Cookie"], h["X-Api-Key"] = "Bearer "+subject, "blue", "of-the-client", "of-the-client"
	for i := 0; i+1 < len(others); i += 2 {
		h[others[i]] = others[i+1]
	}
	return h
}

func joint(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for name, value := range m {
			out[name] = value
		}
	}
	return out
}

// Each request to a server carries the token of who it is made for, on every way
// that there is, and nothing else of the client but what is let through.
func TestEveryRequestCarriesItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two, tokens := newTalker("a"), modernOne("b"), &idp{}
		one.Hello = withAll().Hello
		one.Results["logging/setLevel"], one.Results["tools/call"], two.Results["tools/call"] = `{}`, `{"content":[]}`, `{"resultType":"complete","content":[]}`
		one.Results["resources/subscribe"] = `{}`
		g := newGateway(t, setup{config: sendingConfig("one", "two")}, map[string]http.Handler{"one": one, "two": two, "idp": tokens})
		synctest.Wait()
		for _, s := range g.broker.Status().Servers {
			if s.State != "ready" {
				t.Fatalf("%+v", s)
			}
		}
		id := g.request("POST", initializeRequest, of("ada")).header.Get("Mcp-Session-Id")
		ada := of("ada", "Mcp-Session-Id", id)
		question := fmt.Sprintf(`{"session":%q,"server":"one","principal":%q,"token":"ada","headerBytes":{"x-tenant":["Ymx1ZQ=="]}}`, id, idOf(t, "ada"))
		if r, status := g.resolve(question); status != 200 || r.Authorization != "Bearer for-ada-3" && r.Authorization != "Bearer for-ada-4" || r.AuthorizationTTLMillis != 300_000 {
			t.Fatalf("resolve: %d %+v", status, r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := http.NewRequestWithContext(ctx, "GET", "http://gateway/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range joint(ada, map[string]string{"Accept": "text/event-stream"}) {
			stream.Header.Set(name, value)
		}
		resp, err := g.public.Do(stream)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("GET: %v %v", resp, err)
		}
		synctest.Wait()
		for what, got := range map[string]answer{
			"setting of a level":     g.request("POST", setLevel(`"debug"`), ada),
			"notification":           g.request("POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}`, ada),
			"call to a modern one":   g.request("POST", strings.Replace(aCall, `"a"`, `"two_b"`, 1), ada),
			"call without a session": g.request("POST", declaring("7", "tools/call", `"name":"one_a"`, `{}`, ""), joint(mirrors("tools/call", "one_a"), of("ada"))),
		} {
			if got.status != 200 && got.status != 202 || strings.Contains(got.body, `"error"`) {
				t.Errorf("%s: %d %s", what, got.status, got.body)
			}
		}
		synctest.Wait()
		if got := g.request("DELETE", "", ada); got.status != 204 {
			t.Errorf("DELETE: %d %s", got.status, got.body)
		}
		cancel()
		_ = resp.Body.Close()
		time.Sleep(pooledIdle + time.Second)
		synctest.Wait()

		seen := map[string]int{}
		for _, r := range append(one.Seen(), two.Seen()...) {
			authorization := r.Header.Get("Authorization")
			own := strings.HasPrefix(authorization, "Bearer own-")
			if !own && !strings.HasPrefix(authorization, "Bearer for-ada-") || len(r.Header.Values("Authorization")) != 1 {
				t.Errorf("%s %s carries %q", r.Verb, r.Method, authorization)
			}
			if tenant := r.Header.Get("X-Tenant"); (tenant == "blue") == own {
				t.Errorf("%s %s of %q carries X-Tenant %q", r.Verb, r.Method, authorization, tenant)
			}
			if text := fmt.Sprint(r.Header, r.Body); strings.Contains(text, "of-the-client") || strings.Contains(text, id) || strings.Contains(strings.ToLower(text), "x-mcp-") {
				t.Errorf("%s %s: %s", r.Verb, r.Method, text)
			}
			if own {
				seen["own "+r.Verb+" "+r.Method]++
			} else {
				seen[r.Verb+" "+r.Method]++
			}
		}
		for _, want := range []string{
			"own POST initialize", "own POST tools/list", "own GET ", "own POST server/discover",
			"POST initialize", "POST notifications/initialized", "POST logging/setLevel", "POST tools/call", "POST notifications/cancelled", "GET ", "DELETE ",
		} {
			if seen[want] == 0 {
				t.Errorf("no %q among %v", want, seen)
			}
		}
		if n := tokens.count(); n != 4 { // of each server its own and ada's
			t.Errorf("%d tokens were asked for: %q", n, tokens.forms)
		}
	})
}

// What of a resolve can go wrong names nothing but the server.
func TestResolveWithoutToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, tokens := newTalker("a"), &idp{}
		g := newGateway(t, setup{config: sendingConfig("one")}, map[string]http.Handler{"one": one, "idp": tokens})
		synctest.Wait()
		if r, status := g.resolve(`{"session":"","server":"one","bare":true,"token":"ben"}`); status != 200 || !strings.HasPrefix(r.Authorization, "Bearer for-ben-") || r.Session != "" {
			t.Errorf("%d %+v", status, r)
		}
		tokens.fail(true)
		for question, want := range map[string]int{
			`{"session":"","server":"one","bare":true}`:                     http.StatusFailedDependency,
			`{"session":"","server":"one","bare":true,"token":"eve"}`:       http.StatusFailedDependency,
			`{"session":"","server":"none","bare":true,"token":"eve"}`:      http.StatusGone,
			`{"session":"","server":"one","bare":true,"token":"eve","x":1}`: http.StatusBadRequest,
		} {
			got := g.inside("POST", gatewayconfig.PathResolve, question, nil)
			if got.status != want || strings.Contains(got.body, "eve") || strings.Contains(got.body, "idp") || strings.Contains(got.body, "secret") {
				t.Errorf("%s: %d %s", question, got.status, got.body)
			}
		}
		id := g.request("POST", initializeRequest, of("eve")).header.Get("Mcp-Session-Id")
		got := g.request("POST", declaring("7", "tools/call", `"name":"one_a"`, `{}`, ""), joint(mirrors("tools/call", "one_a"), of("eve")))
		if !strings.Contains(got.body, `"message":"the gateway has no credential of this caller for server one"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		got = g.request("POST", strings.Replace(setLevel(`"debug"`), "L", "M", 1), of("eve", "Mcp-Session-Id", id))
		if got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// A token that a server does not take any more is replaced, and the request sent
// again, once.
func TestRefusedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two, tokens := newTalker("a"), modernOne("b"), &idp{}
		one.Results["tools/call"], two.Results["tools/call"] = `{"content":[]}`, `{"resultType":"complete","content":[]}`
		var mu sync.Mutex
		refused := map[string]bool{}
		guarded := func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				no := refused[r.Header.Get("Authorization")] || refused["all"]
				mu.Unlock()
				if no {
					w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="http://169.254.169.254/"`)
					http.Error(w, "secret words", http.StatusUnauthorized)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
		g := newGateway(t, setup{config: sendingConfig("one", "two")}, map[string]http.Handler{"one": guarded(one), "two": guarded(two), "idp": tokens})
		synctest.Wait()
		id := g.request("POST", initializeRequest, of("ada")).header.Get("Mcp-Session-Id")
		session := fmt.Sprintf(`"session":%q,"principal":%q,"token":"ada"`, id, idOf(t, "ada"))
		first, _ := g.resolve(`{` + session + `,"server":"one"}`)
		modern, _ := g.resolve(`{"session":"","server":"two","bare":true,"token":"ada"}`)
		time.Sleep(10 * time.Second)
		mu.Lock()
		refused[first.Authorization], refused[modern.Authorization] = true, true
		mu.Unlock()
		got := g.inside("POST", gatewayconfig.PathReplay, `{`+session+`,"server":"one","refused":"`+first.Authorization+`"}`+"\n"+aCall, nil)
		if got.status != 200 || !strings.Contains(got.body, `"content":[]`) {
			t.Errorf("replay: %d %s", got.status, got.body)
		}
		stateless := strings.Replace(declaring("7", "tools/call", `"name":"b"`, `{}`, ""), "\n", "", -1)
		got = g.inside("POST", gatewayconfig.PathReplay, `{"session":"","server":"two","bare":true,"token":"ada","headerBytes":{"mcp-param-city":["eA=="]}}`+"\n"+stateless, nil)
		if r := last(two, "tools/call"); got.status != 200 || r.Header.Get("Mcp-Name") != "b" || r.Header.Get("Mcp-Param-City") != "x" || r.Header.Get("Mcp-Session-Id") != "" ||
			r.Header.Get(mcp.HeaderProtocolVersion) != "2026-07-28" {
			t.Errorf("stateless replay: %d %s, sent %v", got.status, got.body, r.Header)
		}
		// One that is refused at once is not replaced for ever.
		mu.Lock()
		refused["all"] = true
		mu.Unlock()
		before := tokens.count()
		for range 20 {
			got = g.inside("POST", gatewayconfig.PathReplay, `{`+session+`,"server":"one"}`+"\n"+aCall, nil)
			if got.status != http.StatusUnauthorized || strings.Contains(got.body, "secret") || got.header.Get("WWW-Authenticate") != "" {
				t.Fatalf("replay: %d %s %v", got.status, got.body, got.header)
			}
		}
		if n := tokens.count(); n > before+1 {
			t.Errorf("%d tokens for what is refused at once", n-before)
		}
		got = g.request("POST", strings.Replace(aCall, `"a"`, `"two_b"`, 1), of("ada", "Mcp-Session-Id", id))
		if !strings.Contains(got.body, `"message":"server two refused the gateway's credentials"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// Callers without sessions share one only if the server is sent the same of them, to
// the byte: a value need not be UTF-8.
func TestForwardedHeadersTellSessionsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		one.Results["tools/call"] = `{"content":[]}`
		c := config("one")
		c.Servers[0].ForwardHeaders = []string{"x-tenant"}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		synctest.Wait()
		for _, h := range []map[string]string{{}, {"X-Tenant": "red"}, {"X-Tenant": "blue"}, {"X-Tenant": "red", "X-Other": "x"}, {"X-Tenant": "bl\xe5"}, {"X-Tenant": "bl\xe4"}, {"X-Tenant": "bl\ufffd"}} {
			if got := g.call("a", `{}`, "", "", h); got.status != 200 || strings.Contains(got.body, "error") {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if r := last(one.Server, "tools/call"); r.Header.Get("X-Tenant") != h["X-Tenant"] || r.Header.Get("X-Other") != "" {
				t.Errorf("sent %v", r.Header)
			}
		}
		if n := g.broker.Status().Servers[0].Pooled; n != 6 {
			t.Errorf("%d sessions, want one for each tenant", n)
		}
		id := g.request("POST", initializeRequest, nil).header.Get("Mcp-Session-Id")
		question := fmt.Sprintf(`{"session":%q,"server":"one","headerBytes":{"x-tenant":[%q]}}`, id, base64.StdEncoding.EncodeToString([]byte("bl\xe5")))
		if r, status := g.resolve(question); status != 200 {
			t.Fatalf("resolve: %d %+v", status, r)
		}
		if r := last(one.Server, "initialize"); r.Header.Get("X-Tenant") != "bl\xe5" {
			t.Errorf("for the filter: sent %q", r.Header)
		}
	})
}

// A stream that lasts is kept up with the token that its client has by now.
func TestStreamsTakeTheLatestToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, tokens := newTalker("a"), &idp{}
		one.Hello = withAll().Hello
		g := newGateway(t, setup{config: sendingConfig("one")}, map[string]http.Handler{"one": one, "idp": tokens})
		synctest.Wait()
		id := g.request("POST", initializeRequest, of("ada")).header.Get("Mcp-Session-Id")
		question := func(token string) string {
			return fmt.Sprintf(`{"session":%q,"server":"one","principal":%q,"token":%q}`, id, idOf(t, "ada"), token)
		}
		if _, status := g.resolve(question("ada")); status != 200 {
			t.Fatalf("resolve: %d", status)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://gateway/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range joint(of("ada", "Mcp-Session-Id", id), map[string]string{"Accept": "text/event-stream"}) {
			r.Header.Set(name, value)
		}
		resp, err := g.public.Do(r)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("GET: %v %v", resp, err)
		}
		defer func() { _ = resp.Body.Close() }()
		synctest.Wait()
		if _, status := g.resolve(question("ada-again")); status != 200 {
			t.Fatalf("resolve: %d", status)
		}
		before := len(one.Requests("GET", ""))
		one.clients.Out <- rawserver.End
		time.Sleep(time.Minute)
		synctest.Wait()
		all := one.Requests("GET", "")
		if len(all) == before || !strings.HasPrefix(all[len(all)-1].Header.Get("Authorization"), "Bearer for-ada-again-") {
			t.Errorf("the stream is opened again with %q", all[len(all)-1].Header.Get("Authorization"))
		}
	})
}
