package broker

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
)

func TestInitializeNegotiatesTheRevision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		for asked, want := range map[string]string{
			"2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
			"2024-11-05": "2025-11-25", "2026-07-28": "2025-11-25", "": "2025-11-25", "2025-06-18\u00e9": "2025-11-25",
		} {
			got := g.request("POST", strings.Replace(initializeRequest, "2025-11-25", asked, 1), map[string]string{"Mcp-Session-Id": "of before"})
			var m struct {
				Result struct{ ProtocolVersion string }
			}
			if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != 200 || m.Result.ProtocolVersion != want {
				t.Errorf("asked %q: %d %s", asked, got.status, got.body)
			}
			s, err := g.store.Get(t.Context(), session.ID(got.header.Get("Mcp-Session-Id")))
			if err != nil || string(s.Version) != want {
				t.Errorf("asked %q: stored %q, %v", asked, s.Version, err)
			}
		}
	})
}

func TestInitializeShowsTheUnionOfTheServers(t *testing.T) {
	t.Parallel()
	tools := `{"tools":{}}`
	tests := []struct {
		name    string
		servers map[string]string // raw results of initialize; empty for one that is down
		own     string            // instructions of the gateway
		plain   bool              // without prefix
		want    string
	}{
		{
			name: "no server",
			want: `"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"gw","version":"7"}`,
		},
		{
			name: "tools only", servers: map[string]string{"a": strings.Replace(rawserver.Hello(tools), `,"instructions":"be kind"`, "", 1)}, own: "hello <you>",
			want: `"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"gw","version":"7"},"instructions":"hello \u003cyou\u003e"`,
		},
		{
			name: "union", servers: map[string]string{
				"a": rawserver.Hello(`{"prompts":{},"logging":{},"completions":{},"experimental":{"x":{}}}`),
				"b": rawserver.Hello(`{"resources":{"subscribe":true},"tasks":{}}`),
			}, own: "hello",
			want: `"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{},"completions":{}},"serverInfo":{"name":"gw","version":"7"},"instructions":"hello\n\n## a\nbe kind\n\n## b\nbe kind"`,
		},
		{
			name: "a server that is down may have anything", servers: map[string]string{"a": ""},
			want: `"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{},"completions":{}},"serverInfo":{"name":"gw","version":"7"}`,
		},
		{
			name: "experimental of an only server without prefix", plain: true, servers: map[string]string{
				"a": rawserver.Hello(`{"resources":{"subscribe":false,"x":1},"experimental":{"x":{ "n":1.0}},"tasks":{},"logging":null}`),
			},
			want: `"capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":true},"experimental":{"x":{"n":1.0}}},"serverInfo":{"name":"gw","version":"7"},"instructions":"## a\nbe kind"`,
		},
		{
			name: "experimental of an only server with prefix", servers: map[string]string{
				"a": rawserver.Hello(`{"experimental":{"x":{}}}`),
			},
			want: `"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"gw","version":"7"},"instructions":"## a\nbe kind"`,
		},
		{
			name: "capabilities of odd types", servers: map[string]string{
				"a": rawserver.Hello(`{"resources":true,"logging":1,"completions":[],"experimental":[]}`),
			},
			want: `"capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":true},"logging":{},"completions":{}},"serverInfo":{"name":"gw","version":"7"},"instructions":"## a\nbe kind"`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				servers := map[string]http.Handler{}
				var names []string
				for _, name := range []string{"a", "b"} {
					hello, there := test.servers[name]
					if !there {
						continue
					}
					names = append(names, name)
					if hello != "" {
						servers[name] = &rawserver.Server{Hello: hello, Results: rawserver.Empty()}
					}
				}
				c := config(names...)
				c.Instructions = test.own
				if test.plain {
					c.Servers[0].Prefix = ""
				}
				g := newGateway(t, setup{config: c}, servers)
				got := g.request("POST", initializeRequest, nil)
				if want := `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25",` + test.want + `}}`; got.body != want {
					t.Errorf("\n got %s\nwant %s", got.body, want)
				}
				if strings.Contains(got.body, address) {
					t.Error("the answer names an address")
				}
			})
		})
	}
}

func TestClientOf(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 20<<10)
	tests := []struct{ name, params, info, capabilities string }{
		{"as sent", `{"clientInfo": {"name":"c", "n":1e400},"capabilities":{"x":{ }}}`, `{"name":"c", "n":1e400}`, `{"x":{ }}`},
		{"absent", `{"protocolVersion":"x"}`, ``, ``},
		{"no params", ``, ``, ``},
		{"array", `[1]`, ``, ``},
		{"other types", `{"clientInfo":"c","capabilities":[1]}`, ``, ``},
		{"large", `{"clientInfo":{"name":"c\u0041","icons":["` + long + `"],"version":"1"},"capabilities":{"x":"` + long + `"}}`, `{"name":"c\u0041","version":"1"}`, ``},
		{"large name", `{"clientInfo":{"name":"` + long + `","version":"1"}}`, ``, ``},
		{"large and nameless", `{"clientInfo":{"x":"` + long + `"}}`, ``, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			info, capabilities := clientOf([]byte(test.params))
			if string(info) != test.info || string(capabilities) != test.capabilities {
				t.Errorf("got %s and %s", info, capabilities)
			}
		})
	}
}

// broken is a store that cannot be reached, or is full.
type broken struct {
	session.Store
	get, create error
}

func (b *broken) Get(ctx context.Context, id session.ID) (session.Session, error) {
	if b.get != nil {
		return session.Session{}, b.get
	}
	return b.Store.Get(ctx, id)
}

func (b *broken) Mint(session.Session) (session.ID, error) { return session.NewID(), nil }

func (b *broken) Create(ctx context.Context, s session.Session, caps session.Caps) error {
	if b.create != nil {
		return b.create
	}
	return b.Store.Create(ctx, s, caps)
}

func (b *broken) Delete(ctx context.Context, id session.ID) ([]session.Held, error) {
	if b.get != nil {
		return nil, b.get
	}
	return b.Store.Delete(ctx, id)
}

func (b *broken) Backends(ctx context.Context, id session.ID) ([]session.Held, error) {
	if b.get != nil {
		return nil, b.get
	}
	return b.Store.Backends(ctx, id)
}

func (b *broken) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	if b.get != nil {
		return session.Claim{}, b.get
	}
	return b.Store.Claim(ctx, id, server, lease)
}

func TestStoreThatIsAway(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken
		status int
		after  string
	}{
		"unavailable": {broken{get: session.ErrUnavailable, create: session.ErrUnavailable}, 503, "5"},
		"full":        {broken{create: session.ErrFull}, 429, "30"},
		"too many":    {broken{create: session.ErrTooMany}, 429, "30"},
	} {
		away := &test.broken
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				healthy := newGateway(t, setup{}, nil)
				away.Store = healthy.store
				g := newGateway(t, setup{store: away, config: config("one")}, map[string]http.Handler{"one": raw("a")})
				got := g.request("POST", initializeRequest, nil)
				if brief, _ := describe(got.body); got.status != test.status || brief != "0 -32603" || got.header.Get("Retry-After") != test.after {
					t.Errorf("initialize: %d %v %s", got.status, got.header, got.body)
				}
				if got.header.Get("Mcp-Session-Id") != "" {
					t.Error("a failed initialize gives a session id")
				}
				if away.get == nil {
					return
				}
				header := map[string]string{"Mcp-Session-Id": "x"}
				for verb, want := range map[string]string{"POST": "9 -32603", "GET": "null -32603", "DELETE": "null -32603"} {
					got := g.request(verb, `{"jsonrpc":"2.0","id":9,"method":"ping"}`, header)
					if brief, _ := describe(got.body); got.status != 503 || brief != want || got.header.Get("Retry-After") != "5" {
						t.Errorf("%s: %d %s", verb, got.status, got.body)
					}
				}
			})
		})
	}
}

func TestRequestsOfTheFirstMomentsWaitForTheServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := raw("a")
		slow.Intercept = func(http.ResponseWriter, *http.Request, string, string) bool {
			time.Sleep(300 * time.Millisecond)
			return false
		}
		g := newGateway(t, setup{config: config("slow", "down")}, map[string]http.Handler{"slow": slow})
		if got := g.ask(g.open(), "tools/list"); got != toolList("slow_a") {
			t.Errorf("tools %s", got)
		}
	})
}

func TestHangingServerDelaysNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := raw()
		hang.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
			<-r.Context().Done()
			return true
		}
		g := newGateway(t, setup{config: config("hang", "one")}, map[string]http.Handler{"hang": hang, "one": raw("a")})
		began := time.Now()
		id := g.open()
		if took := time.Since(began); took != startupWait {
			t.Errorf("initialize took %v right after the start", took)
		}
		// From then on nobody waits, although the server hangs for a while yet.
		if got := g.ask(id, "tools/list"); got != toolList("one_a") || time.Since(began) != startupWait {
			t.Errorf("tools %s after %v", got, time.Since(began))
		}
	})
}

func TestWithoutConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{unconfigured: true}, map[string]http.Handler{"one": raw("a")})
		if got := g.request("POST", initializeRequest, nil); got.status != 503 || got.header.Get("Retry-After") != "5" {
			t.Errorf("initialize: %d %s", got.status, got.body)
		}
		// A session of before, kept by a store that outlives brokers.
		id := session.NewID()
		if err := g.store.Create(t.Context(), session.Session{ID: id, Version: "2025-11-25"}, session.Caps{}); err != nil {
			t.Fatal(err)
		}
		got := g.request("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, map[string]string{"Mcp-Session-Id": string(id)})
		if brief, _ := describe(got.body); got.status != 200 || brief != "1 -32603" {
			t.Errorf("tools/list: %d %s", got.status, got.body)
		}
		g.apply(config("one"))
		if got := g.ask(string(id), "tools/list"); got != toolList("one_a") {
			t.Errorf("tools %s", got)
		}
	})
}

func TestApplyRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": raw("a")})
		id := g.open()
		bad := config("one", "one", "two")
		bad.Servers[2].URL = "ftp://x"
		err := g.broker.Apply(bad)
		if err == nil || !strings.Contains(err.Error(), "one is configured twice") || !strings.Contains(err.Error(), "two: url") {
			t.Errorf("Apply = %v", err)
		}
		if got := g.ask(id, "tools/list"); got != toolList("one_a") {
			t.Errorf("tools %s after a refused configuration", got)
		}
		g.stop()
		if err := g.broker.Apply(config("one")); err == nil {
			t.Error("Apply after the end succeeded")
		}
	})
}
