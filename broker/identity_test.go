package broker

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/principal"
)

// tokenOf is the header of a subject's verified token, as Envoy passes it on.
func tokenOf(subject string) map[string]string {
	text := `{"iss":"https://idp.example","sub":"` + subject + `"}`
	return map[string]string{"X-Mcp-Claims": base64.RawURLEncoding.EncodeToString([]byte(text))}
}

func idOf(t *testing.T, subject string) string {
	t.Helper()
	p, err := principal.FromClaims(tokenOf(subject)["X-Mcp-Claims"])
	if err != nil {
		t.Fatal(err)
	}
	return p.ID()
}

func in(session string, who map[string]string) map[string]string {
	out := map[string]string{"Mcp-Session-Id": session}
	for name, value := range who {
		out[name] = value
	}
	return out
}

func authConfig(names ...string) gatewayconfig.Broker {
	c := config(names...)
	c.Auth, c.SSEPath, c.Endpoint = true, "/mcp/sse", "http://gateway/mcp"
	c.Issuers, c.KeyClients = []string{"https://idp.example"}, []string{"ci"}
	return c
}

// A session is its principal's, whatever else somebody knows of it (2025-11-25,
// basic/security_best_practices, Session Hijacking).
func TestSessionIsOfOnePrincipal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newSessional("a")
		g := newGateway(t, setup{config: authConfig("one")}, map[string]http.Handler{"one": one})
		opened := g.request("POST", initializeRequest, tokenOf("ada"))
		id := opened.header.Get("Mcp-Session-Id")
		if opened.status != 200 || id == "" {
			t.Fatalf("initialize: %d %s", opened.status, opened.body)
		}
		const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
		for name, test := range map[string]struct {
			verb, body string
			who        map[string]string
			status     int
		}{
			"its own":                   {"POST", ping, tokenOf("ada"), 200},
			"another's":                 {"POST", ping, tokenOf("bob"), 404},
			"another's list":            {"POST", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, tokenOf("bob"), 404},
			"another's notification":    {"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, tokenOf("bob"), 404},
			"another's stream":          {"GET", "", tokenOf("bob"), 404},
			"another's DELETE":          {"DELETE", "", tokenOf("bob"), 404},
			"the owner of a key's":      {"POST", ping, map[string]string{"X-Mcp-Client": "ada"}, 404},
			"nobody's":                  {"POST", ping, nil, 401},
			"nobody's DELETE":           {"DELETE", "", nil, 401},
			"somebody's who is two":     {"POST", ping, map[string]string{"X-Mcp-Client": "ada", "X-Mcp-Claims": tokenOf("ada")["X-Mcp-Claims"]}, 401},
			"of claims that are none":   {"POST", ping, map[string]string{"X-Mcp-Claims": "*"}, 401},
			"its own, with other words": {"POST", ping, map[string]string{"X-Mcp-Claims": tokenOf("ada")["X-Mcp-Claims"], "Authorization": "Bearer new"}, 200},
		} {
			got := g.request(test.verb, test.body, in(id, test.who))
			if got.status != test.status || strings.Contains(got.body, id) {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if got := g.request("DELETE", "", in(id, tokenOf("ada"))); got.status != 204 {
			t.Errorf("DELETE: %d %s", got.status, got.body)
		}
	})
}

// What the filter asks for somebody is not answered for another.
func TestResolveIsForOnePrincipal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: authConfig("one")}, map[string]http.Handler{"one": newSessional("a")})
		id := g.request("POST", initializeRequest, tokenOf("ada")).header.Get("Mcp-Session-Id")
		for name, test := range map[string]struct {
			principal string
			status    int
		}{
			"its own": {idOf(t, "ada"), 200}, "another's": {idOf(t, "bob"), 404}, "nobody's": {"", 404},
		} {
			for _, server := range []string{"one", ""} {
				question := `{"session":"` + id + `","server":"` + server + `","principal":"` + test.principal + `"}`
				if got := g.inside("POST", gatewayconfig.PathResolve, question, nil); got.status != test.status {
					t.Errorf("%s, server %q: %d %s", name, server, got.status, got.body)
				}
			}
			question := `{"session":"` + id + `","server":"one","principal":"` + test.principal + `"}` + "\n" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`
			if got := g.inside("POST", gatewayconfig.PathReplay, question, nil); (got.status == 404) != (test.status == 404) {
				t.Errorf("%s, replay: %d %s", name, got.status, got.body)
			}
		}
	})
}

// Where nobody has to prove who it is, nothing that a client says of it counts.
func TestWithoutAuthNobodyIsBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": newSessional("a")})
		id := g.request("POST", initializeRequest, tokenOf("ada")).header.Get("Mcp-Session-Id")
		if got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, in(id, tokenOf("bob"))); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// A session of the time before the configuration came is of nobody, until it is
// there.
func TestNobodyIsServedBeforeTheConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: authConfig("one")}, map[string]http.Handler{"one": newSessional("a")})
		id := g.request("POST", initializeRequest, tokenOf("ada")).header.Get("Mcp-Session-Id")
		late := newGateway(t, setup{store: g.store, unconfigured: true}, map[string]http.Handler{"one": newSessional("a")})
		if got := late.request("DELETE", "", in(id, tokenOf("bob"))); got.status == 204 {
			t.Errorf("ended by another: %d %s", got.status, got.body)
		}
		if got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, in(id, tokenOf("ada"))); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// Sessions that clients share are shared by one principal's, whatever token it
// sends.
func TestPoolIsOfOnePrincipal(t *testing.T) {
	t.Parallel()
	who := func(header map[string]string) string {
		c := &call{r: &http.Request{Header: http.Header{}}, view: &view{config: authConfig()}, w: &response{}}
		for name, value := range header {
			c.r.Header.Set(name, value)
		}
		if !c.identify() {
			t.Fatalf("%v is nobody", header)
		}
		return c.principal()
	}
	ada := tokenOf("ada")
	ada["Authorization"] = "Bearer second"
	if who(tokenOf("ada")) != who(ada) || who(ada) == who(tokenOf("bob")) || who(ada) != idOf(t, "ada") {
		t.Error("not told apart by who they are")
	}
}

// An open stream ends with the token that opened it, a little later for clocks that
// differ.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: authConfig("one")}, map[string]http.Handler{"one": newSessional("a")})
		for _, ends := range []bool{false, true} {
			exp := ""
			if ends {
				exp = `,"exp":` + strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10)
			}
			text := `{"iss":"https://idp.example","sub":"ada"` + exp + `}`
			g.as = map[string]string{"X-Mcp-Claims": base64.RawURLEncoding.EncodeToString([]byte(text))}
			id := g.request("POST", initializeRequest, g.as).header.Get("Mcp-Session-Id")
			streams := map[string]*events{"GET": g.listen(id), "subscriptions/listen": g.subscribe("1", `{"toolsListChanged":true}`)}
			time.Sleep(80 * time.Second)
			for name, s := range streams {
				if lines := s.drain(); slices.Contains(lines, "closed") {
					t.Errorf("%s%s: ended early: %v", name, exp, lines)
				}
			}
			time.Sleep(40 * time.Second)
			for name, s := range streams {
				if lines := s.drain(); slices.Contains(lines, "closed") != ends {
					t.Errorf("%s%s: two minutes later: %v", name, exp, lines)
				}
				s.close()
			}
		}
	})
}

// Whom the configuration names no more hears nothing more, however it listens; all
// others stay, also who comes with another key of the same client.
func TestStreamsEndOfWhoIsNoMoreLetIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := authConfig("one")
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a")})
		open := map[string][]*events{}
		for name, who := range map[string]map[string]string{"key": {"X-Mcp-Client": "ci"}, "token": tokenOf("ada")} {
			g.as = who
			session := g.openAs(who)["Mcp-Session-Id"]
			open[name] = []*events{g.listen(session), g.subscribe(`1`, `{"toolsListChanged":true}`)}
		}
		ended := func(name string) (n int) {
			time.Sleep(2 * time.Second)
			synctest.Wait()
			for _, e := range open[name] {
				if slices.Contains(e.drain(), "closed") {
					n++
				}
			}
			return n
		}
		c.KeyClients = []string{"other"}
		g.apply(c)
		if of, others := ended("key"), ended("token"); of != 2 || others != 0 {
			t.Errorf("%d streams of the key ended, and %d others", of, others)
		}
		c.Issuers = []string{"https://other.example"}
		g.apply(c)
		if of := ended("token"); of != 2 {
			t.Errorf("%d streams of the issuer ended", of)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		stream := g.listen(g.open())
		g.apply(authConfig("one"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !slices.Contains(stream.drain(), "closed") {
			t.Error("a stream of nobody stays open")
		}
	})
}
