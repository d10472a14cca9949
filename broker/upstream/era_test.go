package upstream

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// discovering returns an Intercept that answers server/discover with raw text.
func discovering(status int, kind, body string) func(http.ResponseWriter, *http.Request, string, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
		if method != mcp.MethodDiscover {
			return false
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.ReplaceAll(body, "ID", id)))
		return true
	}
}

func TestEraIsFound(t *testing.T) {
	t.Parallel()
	const (
		none   = 0
		legacy = 1
		modern = 2
		both   = legacy | modern
	)
	sessions := func() *rawserver.Server {
		return &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
	}
	// with is a server with sessions that answers server/discover in its own way.
	with := func(status int, kind, body string) *rawserver.Server {
		sc := sessions()
		sc.Intercept = discovering(status, kind, body)
		return sc
	}
	dual := func(edit func(*rawserver.Server)) *rawserver.Server {
		sc := sessions()
		sc.Discover = rawserver.Discovery(rawserver.Everything)
		if edit != nil {
			edit(sc)
		}
		return sc
	}
	stateless := func(edit func(*rawserver.Server)) *rawserver.Server {
		sc := dual(edit)
		sc.Stateless = true
		return sc
	}
	failing := func(method string, status int) func(*rawserver.Server) {
		return func(sc *rawserver.Server) {
			sc.Intercept = func(w http.ResponseWriter, _ *http.Request, got, _ string) bool {
				if got == method {
					w.WriteHeader(status)
				}
				return got == method
			}
		}
	}
	const jsonType = "application/json"
	for _, test := range []struct {
		name string
		sc   *rawserver.Server
		era  gatewayconfig.Era
		want int
		err  string
	}{
		{"legacy", sessions(), "", legacy, ""},
		{"modern", stateless(nil), "", modern, ""},
		{"both", dual(nil), gatewayconfig.EraAuto, both, ""},
		{"both, spoken to as legacy", dual(nil), gatewayconfig.EraLegacy, legacy, ""},
		{"both, spoken to as modern", dual(nil), gatewayconfig.EraModern, modern, ""},
		{"legacy, wanted modern", sessions(), gatewayconfig.EraModern, none, "server/discover: the server answers with error -32601"},
		{"modern, wanted legacy", stateless(nil), gatewayconfig.EraLegacy, none, "initialize: "},
		{"lists revisions that it does not speak", stateless(func(sc *rawserver.Server) {
			sc.Discover = rawserver.Discovery("{}", "2026-07-28", "2025-11-25")
		}), "", modern, ""},
		{"discovers legacy revisions only", dual(func(sc *rawserver.Server) { sc.Discover = rawserver.Discovery("{}", "2025-11-25") }), "", legacy, ""},
		{"later revision, sessions", dual(func(sc *rawserver.Server) { sc.Discover = rawserver.Discovery("{}", "2027-01-01") }), "", legacy, ""},
		{"later revision only", stateless(func(sc *rawserver.Server) { sc.Discover = rawserver.Discovery("{}", "2027-01-01") }), "", none, "the server speaks [2027-01-01]"},
		{"success for anything", with(200, jsonType, `{"jsonrpc":"2.0","id":ID,"result":{}}`), "", legacy, ""},
		{"result no object", with(200, jsonType, `{"jsonrpc":"2.0","id":ID,"result":[]}`), "", legacy, ""},
		{"echo", with(200, jsonType, `{"jsonrpc":"2.0","id":ID,"method":"server/discover"}`), "", legacy, ""},
		{"HTML", with(200, "text/html", `<p>`), "", legacy, ""},
		{"HTML, not found", with(404, "text/html", `<p>`), "", legacy, ""},
		{"accepted", with(202, "", ``), "", legacy, ""},
		{"no session", with(400, jsonType, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Server not initialized"},"id":null}`), "", legacy, ""},
		{"no JSON-RPC", with(400, jsonType, `{"error":{"code":-32020}}`), "", legacy, ""},
		{"unknown method, not found, but sessions", with(404, jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":""}}`), "", legacy, ""},
		{"unauthorized", with(401, "", ``), "", legacy, ""},
		{"method not allowed", with(405, "", ``), "", legacy, ""},
		{"fails without a session", with(500, "text/plain", `oops`), "", legacy, ""},
		{"stream without end", with(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"m\"}\n\n"), "", legacy, ""},
		{"stream", with(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":"+rawserver.Discovery("{}")+"}\n\n"), "", both, ""},
		{"unsupported revision, sessions", with(400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"","data":{"supported":["2027-01-01"]}}}`), "", legacy, ""},
		{"unsupported revision", stateless(func(sc *rawserver.Server) {
			sc.Intercept = discovering(400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"too old"}}`)
		}), "", none, "server/discover: the server answers with error -32022: too old"},
		{"unsupported revision, which is listed", stateless(func(sc *rawserver.Server) {
			refuse := discovering(400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"","data":{"supported":["2026-07-28"]}}}`)
			first := true
			sc.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
				if method != mcp.MethodDiscover || !first {
					return false
				}
				first = false
				return refuse(w, r, method, id)
			}
		}), "", modern, ""},
		{"unsupported revision, which is always listed", stateless(func(sc *rawserver.Server) {
			sc.Intercept = discovering(400, jsonType, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"not now","data":{"supported":["2026-07-28"]}}}`)
		}), "", none, "server/discover: the server answers with error -32022: not now"},
		{"headers are lost on the way", stateless(func(sc *rawserver.Server) {
			sc.Intercept = discovering(400, jsonType, `{"jsonrpc":"2.0","error":{"code":-32020,"message":"no Mcp-Method"}}`)
		}), "", none, "-32020: no Mcp-Method"},
		{"modern without discover", stateless(func(sc *rawserver.Server) {
			sc.Intercept = discovering(404, jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":""}}`)
		}), "", modern, ""},
		{"modern without anything", stateless(func(sc *rawserver.Server) {
			sc.Intercept = discovering(404, jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":""}}`)
			sc.Results = nil
		}), "", none, "server/discover: the server answers with error -32601"},
		{"modern, initialize fails for now", dual(failing("initialize", 503)), "", none, "initialize: the server answers with HTTP status 503"},
		{"modern, initialize fails", dual(failing("initialize", 500)), "", modern, ""},
		{"fails", dual(func(sc *rawserver.Server) {
			sc.Intercept = func(w http.ResponseWriter, _ *http.Request, _, _ string) bool { w.WriteHeader(503); return true }
		}), "", none, "status 503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, _ := rawserver.Serve(t, test.sc)
				s := newServer(t, transport, func(cfg *gatewayconfig.Server, _ *Options) { cfg.Era = test.era })
				s.timing.retryMin, s.timing.retryMax = time.Hour, time.Hour
				stop := run(t, s)
				synctest.Wait()
				now := s.Snapshot()
				stop()
				found := none
				if now.Legacy {
					found |= legacy
				}
				if now.Modern {
					found |= modern
				}
				if found != test.want {
					t.Errorf("modern %v, legacy %v: %v", now.Modern, now.Legacy, now.Err)
				}
				if test.err != "" {
					if now.State != Failed || !strings.Contains(now.Err.Error(), test.err) {
						t.Errorf("%s: %v, want %q", now.State, now.Err, test.err)
					}
					return
				}
				if now.State != Ready || now.Err != nil {
					t.Errorf("%s: %v", now.State, now.Err)
				}
				// No session is left behind.
				if test.want&legacy != 0 && len(test.sc.Requests("POST", "initialize")) != len(test.sc.Requests("DELETE", "")) {
					t.Errorf("%d sessions, %d ended", len(test.sc.Requests("POST", "initialize")), len(test.sc.Requests("DELETE", "")))
				}
			})
		})
	}
}

// A server that leaves the probe without an answer is taken for one with
// sessions, until it says what it is.
func TestEraIsAskedAgainIfUnsure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty(),
			Discover: rawserver.Discovery(rawserver.Everything)}
		var hangs atomic.Bool
		hangs.Store(true)
		sc.Intercept = func(_ http.ResponseWriter, r *http.Request, method, _ string) bool {
			if method == mcp.MethodDiscover && hangs.Load() {
				<-r.Context().Done()
				return true
			}
			return false
		}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		time.Sleep(probePatience + time.Second)
		synctest.Wait()
		if now := s.Snapshot(); now.State != Ready || now.Modern || !now.Legacy {
			t.Fatalf("%+v", now)
		}
		hangs.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if now := s.Snapshot(); now.State != Ready || !now.Modern || !now.Legacy {
			t.Errorf("%+v", now)
		}
	})
}

// A server may come back as another version of itself.
func TestEraIsFoundAnewAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Results: rawserver.Empty()}
		upgraded := &rawserver.Server{Discover: rawserver.Discovery(rawserver.Everything), Stateless: true, Results: map[string]string{
			"tools/list": `{"tools":[{"name":"new"}],"ttlMs":0,"cacheScope":"private"}`, "prompts/list": `{"prompts":[]}`,
			"resources/list": `{"resources":[]}`, "resources/templates/list": `{"resourceTemplates":[]}`,
		}}
		var running atomic.Pointer[rawserver.Server]
		running.Store(old)
		transport, _ := rawserver.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { running.Load().ServeHTTP(w, r) }))
		var states []State
		s := newServer(t, transport, nil)
		s.changed = func() { states = append(states, s.Snapshot().State) }
		stop := run(t, s)
		for i, step := range []struct {
			runs           *rawserver.Server
			modern, legacy bool
			version        mcp.Revision
		}{{old, false, true, mcp.LatestLegacy}, {upgraded, true, false, mcp.Revision20260728}, {old, false, true, mcp.LatestLegacy}} {
			running.Store(step.runs)
			time.Sleep(time.Minute)
			s.Recheck() // a call has failed
			time.Sleep(time.Minute)
			synctest.Wait()
			now := s.Snapshot()
			if now.State != Ready || now.Modern != step.modern || now.Legacy != step.legacy || now.Version != step.version {
				t.Errorf("step %d: %+v", i, now)
			}
			if wants := map[bool]int{true: 1}[step.modern]; len(now.Lists.Tools) != wants {
				t.Errorf("step %d: tools %q", i, texts(now.Lists.Tools))
			}
		}
		stop()
		for _, state := range states {
			if state == Failed {
				t.Errorf("it failed on the way: %v", states)
				break
			}
		}
	})
}

// A new version of a server may have given up its sessions, which its answer to
// server/discover need not tell.
func TestSessionsAreMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"logging":{}}`), Session: "s", Results: rawserver.Empty(),
			Discover: rawserver.Discovery(rawserver.Everything)}
		var status atomic.Int32
		sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method != mcp.MethodInitialize || status.Load() == 0 {
				return false
			}
			w.WriteHeader(int(status.Load()))
			return true
		}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		for _, step := range []struct {
			status int32
			legacy bool
		}{{0, true}, {503, true}, {404, false}} {
			status.Store(step.status)
			time.Sleep(10 * time.Second)
			_, err := s.OpenSession(t.Context(), Client{Version: mcp.LatestLegacy})
			time.Sleep(10 * time.Second)
			synctest.Wait()
			now := s.Snapshot()
			if (err == nil) != (step.status == 0) || now.State != Ready || !now.Modern || now.Legacy != step.legacy || now.Logging != step.legacy {
				t.Errorf("status %d: %v, %+v", step.status, err, now)
			}
		}
	})
}

func TestStatelessServerRefusesWithoutAnID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Discover: rawserver.Discovery(rawserver.Everything), Stateless: true,
			Results: map[string]string{"tools/list": `{"tools":[{"name":"a"}]}`}}
		sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == mcp.MethodPromptsList {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}`))
			}
			return method == mcp.MethodPromptsList
		}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		if now := s.Snapshot(); now.State != Ready || len(now.Lists.Tools) != 1 {
			t.Errorf("%s: %v, tools %q", now.State, now.Err, texts(now.Lists.Tools))
		}
	})
}

func TestStatelessDiscoveryOnTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"gw","version":"9"},` +
			`"io.modelcontextprotocol/clientCapabilities":{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}}`
		sc := &rawserver.Server{
			Discover:  rawserver.Discovery(`{"tools":{},"extensions":{"x/y":{"n":1.0}}}`),
			Stateless: true, Results: map[string]string{
				"tools/list":       `{"tools":[{"name":"a"}],"nextCursor":"2","ttlMs":9e5,"cacheScope":"public"}`,
				`tools/list "2"`:   `{"tools":[{"name":"b"}],"ttlMs":6e5,"cacheScope":"public"}`,
				"prompts/list":     `{"prompts":[]}`,
				"server/something": `{}`,
			},
		}
		transport, _ := rawserver.Serve(t, sc)
		s, stop := start(t, transport, func(cfg *gatewayconfig.Server, _ *Options) {
			cfg.Era, cfg.Credential = gatewayconfig.EraModern, "Bearer own"
		})
		synctest.Wait()
		now := s.Snapshot()
		stop()
		if now.State != Ready || !now.Tools || now.Prompts || now.Instructions != "be kind" || string(now.Info) != `{"name":"raw","version":"2"}` ||
			string(now.Capabilities) != `{"tools":{},"extensions":{"x/y":{"n":1.0}}}` {
			t.Errorf("snapshot %+v", now)
		}
		if now.TTL != 10*time.Minute || now.Private {
			t.Errorf("good for %v, private %v", now.TTL, now.Private)
		}
		var got []string
		for _, r := range sc.Seen() {
			_, params, _ := strings.Cut(r.Body, `"params":`)
			got = append(got, r.Verb+" "+r.Method+" "+params)
			if r.Header.Get("Mcp-Method") != r.Method || r.Header.Get("Authorization") != "Bearer own" {
				t.Errorf("%s: headers %v", r.Method, r.Header)
			}
		}
		want := []string{"POST server/discover {" + meta + "}}", "POST tools/list {" + meta + "}}", "POST tools/list {" + meta + `,"cursor":"2"}}`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if _, err := s.OpenSession(t.Context(), Client{Version: mcp.LatestLegacy}); !errors.Is(err, ErrNoSessions) {
			t.Errorf("OpenSession: %v", err)
		}
	})
}
