package legacy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func batchOf(messages ...string) string { return " [" + strings.Join(messages, ",\n") + "]" }

func method(name, id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + name + `"}`
}

// send posts a batch as a client does.
func (g *gateway) send(body string) reply {
	g.t.Helper()
	return g.do("POST", "/mcp", body, "Mcp-Session-Id: s", "Authorization: Bearer 1", "Host: mcp.example")
}

func TestBatch(t *testing.T) {
	t.Parallel()
	const answer = `{"jsonrpc":"2.0","id":7,"result":{}}`
	for name, test := range map[string]struct {
		body, want string
		status     int
	}{
		"in the requests' order": {batchOf(ping("1"), initialized, method("wait", `"\u0061"`), answer, ping("2")),
			`[` + pong("1") + `,` + pong(`"\u0061"`) + `,` + pong("2") + `]`, 200},
		"errors are answers": {batchOf(method("nope", "1"), ping("2")), `[{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}},` + pong("2") + `]`, 200},
		"what is no message": {batchOf(`7`, `[`+ping("1")+`]`, `{"jsonrpc":"2.0","id":3,"method":"ping","method":"x"}`, ping("4")),
			`[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"message is no object"}},` +
				`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"message is no object"}},` +
				`{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"message has a duplicate key"}},` + pong("4") + `]`, 200},
		"answer as a stream with nothing else": {batchOf(method("framed", "1")), `[` + pong("1") + `]`, 200},
		"answer that is no JSON":               {batchOf(method("broken", "1"), ping("2")), `[{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer is no JSON"}},` + pong("2") + `]`, 200},
		"nothing to answer":                    {batchOf(initialized, answer, initialized), ``, 202},
		"empty":                                {`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a batch must not be empty"}}`, 400},
		"initialize in it":                     {batchOf(ping("1"), initializeAt("2025-03-26")), `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"initialize must not be part of a batch"}}`, 400},
		"one too many": {batchOf(strings.Split(strings.Repeat(ping("1")+"\n", maxBatch+1), "\n")[:maxBatch+1]...),
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a batch must not have more than 100 messages"}}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
					switch method {
					case "wait":
						time.Sleep(time.Second)
						_, _ = io.WriteString(w, pong(id))
					case "framed":
						w.Header().Set("Content-Type", "text/event-stream")
						_, _ = io.WriteString(w, "id: 1\ndata:\n\ndata: "+pong(id)+"\n\n")
					case "broken":
						_, _ = io.WriteString(w, `{"id":1,"result":{`)
					default:
						return false
					}
					return true
				}
				got := newGateway(t, end).send(test.body)
				if diff := cmp.Diff(test.want, got.body); diff != "" || got.status != test.status {
					t.Errorf("status %d, want %d; (-want +got):\n%s", got.status, test.status, diff)
				}
				if got.status == 400 && len(end.Seen()) > 0 {
					t.Errorf("refused, but sent on: %+v", end.Seen())
				}
				for _, r := range end.Seen() {
					if r.Header.Get("Mcp-Session-Id") != "s" || r.Header.Get("Mcp-Protocol-Version") != "2025-03-26" ||
						r.Header.Get("Authorization") != "Bearer 1" || r.Host != "mcp.example" {
						t.Errorf("sent on as %s with %v", r.Host, r.Header)
					}
				}
			})
		})
	}
}

// A batch runs a bounded number of its messages at the same time.
func TestBatchRunsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		var running, most atomic.Int32
		end.Intercept = func(http.ResponseWriter, *http.Request, string, string) bool {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			return false
		}
		begun := time.Now()
		newGateway(t, end).send(batchOf(strings.Split(strings.Repeat(ping("1")+"\n", maxBatch), "\n")[:maxBatch]...))
		if took, want := time.Since(begun), 13*time.Second; most.Load() != batchAtOnce || took != want {
			t.Errorf("%d at once, %v", most.Load(), took)
		}
	})
}

// Other messages of a server make the answer a stream while the calls run.
func TestBatchBecomesAStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		ask := `{"jsonrpc":"2.0","id":"a~1","method":"roots/list"}`
		answered := make(chan struct{})
		end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method != "call" {
				return false
			}
			time.Sleep(time.Second)
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: "+ask+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-answered
			_, _ = io.WriteString(w, "data: "+pong(id)+"\n\n")
			return true
		}
		g := newGateway(t, end)
		s := g.read("POST", "/mcp", batchOf(ping("1"), method("call", "2"), initialized), "Mcp-Session-Id: s")
		got := []string{s.message(), s.message()}
		if diff := cmp.Diff([]string{pong("1"), ask}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		close(answered)
		if got := s.message(); got != pong("2") {
			t.Errorf("answer %s", got)
		}
		if line, more := <-s.lines; more {
			t.Errorf("then %q", line)
		}
	})
}

// A slow batch is kept alive as a stream; a large one is not held in memory.
func TestBatchThatWouldBeHeldTooLong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, first string }{
		"slow":  {batchOf(ping("1"), method("slow", "2")), pong("1")},
		"large": {batchOf(method("large", "1"), method("slow", "2")), `{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", batchHeld)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				end.Results["large"] = `"` + strings.Repeat("x", batchHeld) + `"`
				end.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method == "slow" {
						time.Sleep(time.Hour)
					}
					return false
				}
				g := newGateway(t, end)
				resp, err := g.http.Do(g.request(t.Context(), "POST", "/mcp", test.body, nil))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || !strings.HasPrefix(string(text), "event: message\ndata: "+test.first) || resp.Header.Get("Content-Type") != "text/event-stream" {
					t.Errorf("%v: %.200s", err, text)
				}
				if n := strings.Count(string(text), "\n: keep-alive\n"); n < 100 {
					t.Errorf("%d comments in an hour", n)
				}
				_ = resp.Body.Close()
			})
		})
	}
}

// A client that leaves gives up its calls; a gateway that ends cuts the answer.
func TestBatchIsLeft(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"client", "gateway"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				cut := make(chan struct{})
				end.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
					<-r.Context().Done()
					close(cut)
					return true
				}
				g := newGateway(t, end)
				got := make(chan error, 1)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				go func() {
					resp, err := g.http.Do(g.request(ctx, "POST", "/mcp", batchOf(ping("1")), nil))
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						_ = resp.Body.Close()
					}
					got <- err
				}()
				synctest.Wait()
				if who == "client" {
					leave()
				} else {
					g.stop()
				}
				<-cut
				if err := <-got; err == nil {
					t.Error("an answer that looks complete")
				}
			})
		})
	}
}

// A panic in what serves one message ends that batch or that stream, and no more.
func TestPanicEndsOneClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, endpoint())
		inside := g.clients.http.Transport
		g.clients.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "fall") {
				panic("as asked")
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			return inside.RoundTrip(r)
		})
		resp, err := g.http.Do(g.request(t.Context(), "POST", "/mcp", batchOf(ping("1"), method("fall", "2")), nil))
		if err == nil {
			t.Errorf("a batch that cannot be answered is, with %d", resp.StatusCode)
			_ = resp.Body.Close()
		}
		s := g.open()
		s.initialize()
		s.tell(method("fall", "1"))
		synctest.Wait()
		if line, open := <-s.lines; open {
			t.Errorf("the stream goes on with %q", line)
		}
		if got := g.send(batchOf(ping("1"))); got.body != `[`+pong("1")+`]` {
			t.Errorf("then: %d %s", got.status, got.body)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
