package filter

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// tokenTable is the test table whose server weather is sent tokens.
func tokenTable(of gatewayconfig.TokenOf) gatewayconfig.Table {
	table := testTable()
	table.Servers[0].Sends = &gatewayconfig.Sends{Token: of, Tokens: "v1", Forward: []string{"x-tenant"}}
	return table
}

// as sends a call in the name of a client with a verified token.
func as(g *Gateway, bearer, body string, extra ...string) (*Stream, *Decision) {
	s := new(Stream)
	s.Reset(g)
	d := s.RequestHeaders(postHeaders(append(extra, "authorization", "Bearer "+bearer)...), false, second)
	s.bearer = append(s.bearer[:0], bearer...) // as authenticate leaves it
	if d.Action == NeedBody {
		d = s.RequestBody([]byte(body), second)
	}
	return s, d
}

func asked(t *testing.T, d *Decision) gatewayconfig.ResolveRequest {
	t.Helper()
	var q gatewayconfig.ResolveRequest
	line, _, _ := strings.Cut(string(d.Question.Body), "\n")
	if d.Action != Ask {
		t.Fatalf("nothing is asked: %v %s", d.Action, d.Body)
	}
	if err := gatewayconfig.Decode([]byte(line), &q); err != nil {
		t.Fatalf("%v: %s", err, d.Question.Body)
	}
	return q
}

func given(t *testing.T, r gatewayconfig.ResolveResponse) []byte {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A token is asked for once, and again when its time is over; each caller has its
// own where it is the caller's.
func TestTokens(t *testing.T) {
	t.Parallel()
	for _, of := range []gatewayconfig.TokenOf{gatewayconfig.TokenGateway, gatewayconfig.TokenCaller} {
		g := newGateway(t)
		putTable(t, g, tokenTable(of))
		s, d := as(g, "ann", call("weather_get_weather"), "x-tenant", "bl\xe5", "x-custom", "x")
		q := asked(t, d)
		if !q.Bare || q.Server != "weather" || (q.Token == "ann") != (of == gatewayconfig.TokenCaller) || len(q.Headers) != 1 || string(q.Headers["x-tenant"][0]) != "bl\xe5" {
			t.Errorf("%s: asked %+v", of, q)
		}
		d = s.Answer(200, given(t, gatewayconfig.ResolveResponse{Authorization: "Bearer t1", AuthorizationTTLMillis: 1000}), second)
		if got := edits(d); d.Action != Pass || got["authorization"] != "Bearer t1" || got["mcp-session-id"] != "b-weather" || got["x-tenant"] != "" || got["x-custom"] != "(removed)" {
			t.Errorf("%s: %v", of, got)
		}
		_, d = as(g, "ann", call("weather_get_weather"))
		if got := edits(d); d.Action != Pass || got["authorization"] != "Bearer t1" {
			t.Errorf("%s, warm: %v", of, got)
		}
		if _, d = as(g, "ben", call("weather_get_weather")); (d.Action == Ask) != (of == gatewayconfig.TokenCaller) {
			t.Errorf("%s: the token of another caller: %v", of, edits(d))
		}
		_, d = as(g, "ann", call("search"))
		if got := edits(d); d.Action != Pass || got["authorization"] != "(removed)" {
			t.Errorf("%s: another server gets %v", of, got)
		}
		// Another way to get tokens, after a change of the configuration.
		table := tokenTable(of)
		table.Servers[0].Sends.Tokens = "v2"
		putTable(t, g, table)
		if _, d = as(g, "ann", call("weather_get_weather")); d.Action != Ask {
			t.Errorf("%s: a token that was had in another way is used", of)
		}
		putTable(t, g, tokenTable(of))
		s = new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders("authorization", "Bearer ann"), false, 2*second)
		s.bearer = append(s.bearer, "ann"...)
		g.found(2 * second)
		if d = s.RequestBody([]byte(call("weather_get_weather")), 2*second); d.Action != Ask {
			t.Errorf("%s: a token is used beyond its time", of)
		}
		// While the broker is away it is.
		s.Answer(503, nil, 2*second)
		d = s.Answer(503, nil, 2*second)
		if got := edits(d); d.Action != Pass || got["authorization"] != "Bearer t1" {
			t.Errorf("%s, without broker: %v %s", of, got, d.Body)
		}
	}
}

// A session that is opened brings the token along.
func TestTokenWithSession(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	putTable(t, g, tokenTable(gatewayconfig.TokenCaller))
	s, d := as(g, "ann", call("weather_get_weather"), "mcp-session-id", "s2", "x-tenant", "blue")
	if q := asked(t, d); q.Bare || q.Session != "s2" || q.Token != "ann" || string(q.Headers["x-tenant"][0]) != "blue" {
		t.Errorf("asked %+v", q)
	}
	d = s.Answer(200, given(t, gatewayconfig.ResolveResponse{
		Session: "b", Version: "2025-11-25", TTLMillis: 9000, Authorization: "Bearer t1", AuthorizationTTLMillis: 9000,
	}), second)
	if got := edits(d); d.Action != Pass || got["authorization"] != "Bearer t1" || got["mcp-session-id"] != "b" {
		t.Errorf("%v", got)
	}
}

func TestNoCredential(t *testing.T) {
	t.Parallel()
	const want = `"error":{"code":-32603,"message":"the gateway has no credential of this caller for server weather"}`
	g := newGateway(t)
	putTable(t, g, tokenTable(gatewayconfig.TokenCaller))
	if _, d := post(g, call("weather_get_weather"), "authorization", "Basic not-verified"); d.Action != Reply || !strings.Contains(string(d.Body), want) || d.Reason != "no_credential" {
		t.Errorf("without a token: %s", d.Body)
	}
	for _, session := range []string{"s1", "s2"} {
		s, _ := as(g, "ann", call("weather_get_weather"), "mcp-session-id", session)
		if d := s.Answer(424, []byte("secret"), second); d.Action != Reply || !strings.Contains(string(d.Body), want) {
			t.Errorf("refused: %s", d.Body)
		}
	}
	s, _ := as(g, "ann", call("weather_get_weather"))
	s.Answer(0, nil, second)
	if d := s.Answer(0, nil, second); d.Action != Reply || !strings.Contains(string(d.Body), "cannot get a credential for server weather now") {
		t.Errorf("without broker: %s", d.Body)
	}
	s, _ = as(g, "ann", call("weather_get_weather"))
	if d := s.Answer(410, nil, second); !strings.Contains(string(d.Body), "Unknown tool") {
		t.Errorf("no such server: %s", d.Body)
	}
}

// A token that its server refuses is not used again, and what was sent with it is
// sent once more with another.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	putTable(t, g, tokenTable(gatewayconfig.TokenGateway))
	token := given(t, gatewayconfig.ResolveResponse{Authorization: "Bearer t1", AuthorizationTTLMillis: 9000})
	refuse := func() (*Stream, *Decision) {
		s, d := as(g, "ann", call("weather_get_weather"))
		if d.Action == Ask {
			s.Answer(200, token, second)
		}
		return s, s.ResponseHeaders(append(headersOf("401", "text/plain"), Header{"www-authenticate", `Bearer resource_metadata="http://169.254.169.254/"`}), false)
	}
	s, d := refuse()
	q := asked(t, d)
	if d.Question.Path != gatewayconfig.PathReplay || q.Refused != "Bearer t1" || q.Stale != "" || q.Session != "s1" || q.Bare {
		t.Fatalf("asked %s %+v", d.Question.Path, q)
	}
	if _, message, _ := strings.Cut(string(d.Question.Body), "\n"); message != call("get_weather") {
		t.Errorf("sent again: %s", message)
	}
	d = s.Replayed(headersOf("200", "application/json"), []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	if d.Action != Reply || d.Status != 200 || string(d.Body) != `{"jsonrpc":"2.0","id":1,"result":{}}` {
		t.Errorf("answered %d %s", d.Status, d.Body)
	}
	_, d = as(g, "ann", call("weather_get_weather"))
	if q := asked(t, d); q.Refused != "Bearer t1" {
		t.Errorf("asked %+v", q)
	}
	for status, want := range map[string]string{
		"401": "server weather refused the gateway's credentials", "400": "server weather refused the gateway's credentials",
		"424": "the gateway has no credential of this caller for server weather", "502": "server weather could not be reached",
	} {
		s, d := refuse()
		if asked(t, d); d.Question.Path != gatewayconfig.PathReplay {
			t.Fatalf("asked %s", d.Question.Path)
		}
		if d = s.Replayed(headersOf(status, "text/plain"), []byte("secret")); !strings.Contains(string(d.Body), want) || strings.Contains(string(d.Body), "secret") {
			t.Errorf("%s: %s", status, d.Body)
		}
	}
	// What cannot be sent again fails, and is told so.
	s, d = as(g, "ann", call("weather_get_weather"))
	if d.Action == Ask {
		s.Answer(200, token, second)
	}
	s.body = nil
	if d = s.ResponseHeaders(headersOf("401", "text/plain"), false); d.Action != Reply || !strings.Contains(string(d.Body), "refused the gateway's credentials") {
		t.Errorf("%s", d.Body)
	}
}

// A server that is sent no tokens is not asked again.
func TestUnauthorizedWithoutTokens(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s, _ := post(g, call("weather_get_weather"))
	d := s.ResponseHeaders(append(headersOf("401", "application/json"), Header{"www-authenticate", `Bearer resource_metadata="https://server/"`}), true)
	if d.Action != Reply || !strings.Contains(string(d.Body), "refused the gateway's credentials") || edits(d)["www-authenticate"] != "" {
		t.Errorf("%s %v", d.Body, edits(d))
	}
}

// Stateless calls have no session to ask for, and their headers go again.
func TestTokensOfStatelessCalls(t *testing.T) {
	t.Parallel()
	g := erasGateway(t)
	table := erasTable()
	for i := range table.Servers {
		table.Servers[i].Sends = &gatewayconfig.Sends{Token: gatewayconfig.TokenCaller, Tokens: "v"}
	}
	putTable(t, g, table)
	headers := statelessHeaders("tools/call", "now_add", "mcp-param-city", "x", "mcp-param-city", "x")
	s, d := as(g, "ann", stateless("tools/call", `"name":"now_add"`), headers...)
	if q := asked(t, d); !q.Bare || q.Token != "ann" || string(q.Headers["mcp-param-city"][0]) != "x" {
		t.Errorf("asked %+v", q)
	}
	d = s.Answer(200, given(t, gatewayconfig.ResolveResponse{Authorization: "Bearer t1", AuthorizationTTLMillis: 9000}), second)
	if got := edits(d); d.Action != Pass || got["authorization"] != "Bearer t1" {
		t.Fatalf("%v", got)
	}
	d = s.ResponseHeaders(headersOf("401", "text/plain"), false)
	if q := asked(t, d); !q.Bare || q.Refused != "Bearer t1" || q.Token != "ann" || d.Question.Path != gatewayconfig.PathReplay || string(q.Headers["mcp-param-city"][0]) != "x" {
		t.Errorf("asked %s %+v", d.Question.Path, q)
	}
	d = s.Replayed(headersOf("200", "text/event-stream"), []byte("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"))
	if d.Action != Reply || d.Status != 200 || !strings.Contains(string(d.Body), `"result":{}`) {
		t.Errorf("%d %s", d.Status, d.Body)
	}
}

func TestTokensAreBounded(t *testing.T) {
	t.Parallel()
	c := newTokens()
	for i := range maxTokens + 10 {
		c.put(tokenKey{caller: sha256.Sum256(fmt.Append(nil, i))}, token{expires: 1})
	}
	if n := len(c.m); n != maxTokens {
		t.Errorf("%d tokens are kept", n)
	}
}

// What goes to a server with tokens costs no allocation either.
func TestWarmCallWithTokenAllocatesNothing(t *testing.T) {
	for _, of := range []gatewayconfig.TokenOf{gatewayconfig.TokenGateway, gatewayconfig.TokenCaller} {
		g := newGateway(t)
		putTable(t, g, tokenTable(of))
		s, _ := as(g, "ann", call("weather_get_weather"))
		s.Answer(200, given(t, gatewayconfig.ResolveResponse{Authorization: "Bearer t1", AuthorizationTTLMillis: 9000}), second)
		headers, body := postHeaders("authorization", "Bearer ann", "x-tenant", "blue", "x-custom", "x", "sec-fetch-mode", "cors"), []byte(call("weather_get_weather"))
		s = new(Stream)
		n := testing.AllocsPerRun(1000, func() {
			s.Reset(g)
			s.RequestHeaders(headers, false, second)
			s.bearer = append(s.bearer[:0], "ann"...)
			if d := s.RequestBody(body, second); d.Action != Pass {
				t.Fatalf("%s", d.Body)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", of, n)
		}
	}
}
