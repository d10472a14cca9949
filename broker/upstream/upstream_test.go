package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

func TestReadsEveryByteOfEveryPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		odd := `{ "name" : "a", "n":9007199254740993, "x":1.0,"y":1e400, "inputSchema":{"$defs":{"a":true},"type":["object"]},
			"execution":{"taskSupport":"optional"},"icons":[{"src":"data:,","?":[]}],"_meta":{"a/b":null} }`
		sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s-1", Results: map[string]string{
			"tools/list":               `{"tools":[` + odd + `,7],"nextCursor":"","_meta":{}}`,
			`tools/list ""`:            `{"nextCursor":"\u0041","tools":[]}`,
			`tools/list "\u0041"`:      `{"tools":[{"name":"b"}],"nextCursor":null}`,
			"prompts/list":             `{"prompts":[{"name":"p"}]}`,
			"resources/list":           `{"resources":[{"uri":"file:///r"}],"nextCursor":"2"}`,
			`resources/list "2"`:       `{"resources":[{"uri":"file:///s"}]}`,
			"resources/templates/list": `{"resourceTemplates":[{"uriTemplate":"file:///{t}"}]}`,
		}}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		got := s.Snapshot()
		want := [][]string{{odd, "7", `{"name":"b"}`}, {`{"name":"p"}`},
			{`{"uri":"file:///r"}`, `{"uri":"file:///s"}`}, {`{"uriTemplate":"file:///{t}"}`}}
		lists := [][]string{texts(got.Lists.Tools), texts(got.Lists.Prompts), texts(got.Lists.Resources), texts(got.Lists.Templates)}
		if diff := cmp.Diff(want, lists); diff != "" {
			t.Errorf("lists (-want +got):\n%s", diff)
		}
		if got.State != Ready || !got.Listed || got.Err != nil || got.Version != mcp.LatestLegacy || !got.ListedAt.Equal(time.Now()) {
			t.Errorf("snapshot %+v", got)
		}
		if !got.Tools || !got.Prompts || !got.Resources || got.Instructions != "be kind" || string(got.Info) != `{"name":"raw","version":"1"}` {
			t.Errorf("snapshot %+v", got)
		}
	})
}

func TestHandshakeOnTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{
			Hello:   strings.Replace(rawserver.Hello(`{"tools":{}}`), "2025-11-25", "2024-11-05", 1),
			Session: "s-1", Results: rawserver.Empty(),
		}
		transport, _ := rawserver.Serve(t, sc)
		_, stop := start(t, transport, func(cfg *gatewayconfig.Server, _ *Options) {
			cfg.Host, cfg.Era = "tools.example", gatewayconfig.EraLegacy
			cfg.Headers = map[string]string{"Authorization": "Bearer x", "accept": "text/html", "mcp-session-id": "forged"}
		})
		synctest.Wait()
		stop()

		const params = `"params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}},"clientInfo":{"name":"gw","version":"9"}}`
		hello := sc.Requests("POST", "initialize")
		if len(hello) != 1 || !strings.Contains(hello[0].Body, params) {
			t.Fatalf("initialize: %+v", hello)
		}
		if h := hello[0].Header; h.Get("Mcp-Protocol-Version") != "" || h.Get("Accept") != "application/json, text/event-stream" {
			t.Errorf("headers of initialize: %v", h)
		}
		var order []string
		for _, r := range sc.Seen() {
			order = append(order, r.Verb+" "+r.Method)
			if r.Host != "tools.example" || r.Header.Get("Authorization") != "Bearer x" {
				t.Errorf("%s %s: host %q, headers %v", r.Verb, r.Method, r.Host, r.Header)
			}
			if _, sent := r.Header["Idempotency-Key"]; sent {
				t.Errorf("%s %s sends Idempotency-Key", r.Verb, r.Method)
			}
			if r.Method == "initialize" {
				continue
			}
			if v, id := r.Header.Get("Mcp-Protocol-Version"), r.Header["Mcp-Session-Id"]; v != "2024-11-05" || len(id) != 1 || id[0] != "s-1" {
				t.Errorf("%s %s: version %q, session %q", r.Verb, r.Method, v, id)
			}
		}
		// Only what is declared is listed; the server has no stream.
		want := []string{"POST initialize", "POST notifications/initialized", "GET ", "POST tools/list", "DELETE "}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

func TestListAnswersAsEventStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sc := &rawserver.Server{Hello: rawserver.Hello(`{"tools":{}}`), Session: "s", Results: rawserver.Empty()}
		sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method != "tools/list" {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, "\uFEFFid: 1\ndata:\n\n: hello\nevent: other\ndata: x\n\n")
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\r\n\r\n")
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"sampling/createMessage\",\"params\":{}}\n\n")
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{\"tools\":[1]}}\n\n")
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\rdata: \"id\":%s,\"result\":{\"tools\":[{\"name\":\"a\"}]}}\r\r", id)
			_ = http.NewResponseController(w).Flush()
			return true
		}
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		if got := texts(s.Snapshot().Lists.Tools); len(got) != 1 || got[0] != `{"name":"a"}` {
			t.Errorf("tools %q, %v", got, s.Snapshot().Err)
		}
		answers := sc.Requests("POST", "")
		if len(answers) != 2 || answers[0].Body != `{"jsonrpc":"2.0","id":"p","result":{}}` ||
			!strings.HasPrefix(answers[1].Body, `{"jsonrpc":"2.0","id":7,"error":{"code":-32601,`) {
			t.Errorf("answers to the server's requests: %+v", answers)
		}
	})
}

func TestFailuresAreReportedAndTheRestServed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	answer := func(status int, contentType, body string) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(strings.ReplaceAll(body, "ID", id)))
		}
	}
	tests := []struct {
		name   string
		method string
		answer func(w http.ResponseWriter, id string)
		want   string // in the error
	}{
		{"garbage", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[`), "JSON ends too early"},
		{"html", "tools/list", answer(200, "text/html", `<p>`), `of type "text/html"`},
		{"no content", "tools/list", answer(202, "", ``), "status 202"},
		{"result of another shape", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":{}}}`), `no array "tools"`},
		{"result no object", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":[]}`), "no object"},
		{"cursor no string", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"nextCursor":1}}`), "nextCursor is no string"},
		{"other id", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":"ID","result":{"tools":[]}}`), "does not belong"},
		{"error", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"tired"}}`), "-32000: tired"},
		{"error with status", "tools/list", answer(400, "application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"tired"}}`), "-32000: tired"},
		{"status", "tools/list", answer(503, "text/plain", `at 10.0.0.7`), "status 503"},
		{"status with JSON", "tools/list", answer(500, "application/json", `{"oops":1}`), "status 500"},
		{"stream without answer", "tools/list", answer(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"), "ends before the answer"},
		{"stream with status", "tools/list", answer(502, "text/event-stream", ""), "status 502"},
		{"too large", "tools/list", answer(200, "application/json", long), "more than 65536 bytes"},
		{"too large event", "tools/list", answer(200, "text/event-stream", "data: "+long+"\n\n"), "too large"},
		{"endless pages", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"nextCursor":"a"}}`), "leads back"},
		{"too many pages", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"nextCursor":"ID"}}`), "more than 3 pages"},
		{"too many items", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"tools":[1,2,3,4,5,6]}}`), "more than 5 items"},
		{"too many bytes", "tools/list", func(w http.ResponseWriter, id string) {
			rawserver.Respond(w, id, `{"tools":["`+strings.Repeat("x", 40<<10)+`"],"nextCursor":"`+id+`"}`)
		}, "more than 65537 bytes"},
		{"nested without end", "tools/list", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":`+strings.Repeat("[", 60<<10)), "nested"},
		{"hang", "tools/list", nil, "no answer within 10s"},
		{"drip", "tools/list", func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "application/json")
			for {
				if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, "no answer within 10s"},
		{"events without end", "tools/list", func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				if _, err := w.Write([]byte(": x\n\ndata:\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n")); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, "no answer within 10s"},
		{"redirect", "tools/list", func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "http://other.test/mcp")
			w.WriteHeader(307)
		}, `redirects to "http://other.test"`},
		{"initialize hangs", "initialize", nil, "initialize: no answer within 10s"},
		{"initialize fails", "initialize", answer(404, "text/plain", "no"), "initialize: the server answers with HTTP status 404"},
		{"unknown revision", "initialize", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2026-07-28","capabilities":{}}}`), `revision "2026-07-28", which is not served`},
		{"odd hello", "initialize", answer(200, "application/json", `{"jsonrpc":"2.0","id":ID,"result":7}`), "decode the result"},
		{"odd session id", "initialize", func(w http.ResponseWriter, id string) {
			w.Header().Set("Mcp-Session-Id", "a b")
			rawserver.Respond(w, id, rawserver.Hello("{}"))
		}, "session id is malformed"},
		{"initialized refused", "notifications/initialized", answer(403, "", ""), "initialize: the server answers with HTTP status 403"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty()}
				sc.Results["prompts/list"] = `{"prompts":[{"name":"p"}]}`
				sc.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
					if method != test.method {
						return false
					}
					if test.answer == nil {
						<-r.Context().Done()
						return true
					}
					test.answer(w, id)
					return true
				}
				transport, _ := rawserver.Serve(t, sc)
				s, stop := startWith(t, transport, func(s *Server) {
					s.limits = limits{pages: 3, items: 5, bytes: 64<<10 + 1}
					s.client.bodyLimit = 64 << 10
					s.timing.retryMin, s.timing.retryMax = time.Hour, time.Hour
				})
				time.Sleep(15 * time.Second) // of the bubble's clock
				synctest.Wait()
				got := s.Snapshot()
				if got.State != Failed || got.Err == nil || !strings.Contains(got.Err.Error(), test.want) {
					t.Errorf("state %s, error %v, want %q in it", got.State, got.Err, test.want)
				}
				if test.method == "tools/list" {
					if diff := cmp.Diff([]string{`{"name":"p"}`}, texts(got.Lists.Prompts)); diff != "" {
						t.Errorf("prompts (-want +got):\n%s", diff)
					}
				}
				if got.Listed {
					t.Error("Listed, although the tools were never read")
				}
				stop()
				if ids := len(sc.Requests("DELETE", "")); ids > 1 || ids == 0 && !strings.HasPrefix(test.method, "init") {
					t.Errorf("%d sessions ended, want 1", ids)
				}
			})
		})
	}
}
