package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/mcp"
)

// subscribable returns a server without sessions whose subscriptions come from
// the feed.
func subscribable(feed *rawserver.Feed) *rawserver.Server {
	return &rawserver.Server{
		Discover:  rawserver.Discovery(`{"tools":{"listChanged":true},"prompts":{"listChanged":true}}`),
		Stateless: true, Results: rawserver.Empty(), Listen: feed.Listen,
	}
}

func TestChangesAreAnnouncedWithoutASession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := rawserver.NewFeed()
		sc := subscribable(feed)
		transport, _ := rawserver.Serve(t, sc)
		s, _ := start(t, transport, nil)
		synctest.Wait()
		if now := s.Snapshot(); now.State != Ready || feed.Opened.Load() != 1 {
			t.Fatalf("%+v, %d streams", now, feed.Opened.Load())
		}
		if got := sc.Requests("POST", mcp.MethodListen)[0].Body; !strings.Contains(got, `},"notifications":{"toolsListChanged":true,"promptsListChanged":true}}`) {
			t.Errorf("asked for %s", got)
		}
		lists := func(method string) int { return len(sc.Requests("POST", method)) }
		before, others := lists("tools/list"), lists("prompts/list")
		sc.Set("tools/list", `{"tools":[{"name":"late"}]}`)
		feed.Out <- rawserver.Notification(mcp.MethodNotifyToolsChanged)
		time.Sleep(5 * time.Second)
		if got := texts(s.Snapshot().Lists.Tools); len(got) != 1 || lists("tools/list") != before+1 || lists("prompts/list") != others {
			t.Errorf("tools %q, lists read %d and %d times", got, lists("tools/list")-before, lists("prompts/list")-others)
		}

		// Whatever has happened while no stream was open is found out by reading.
		for i, end := range []string{
			rawserver.End,
			`data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}` + "\n\n",
			`data: {"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete"}}` + "\n\n",
		} {
			listens := sc.Requests("POST", mcp.MethodListen)
			id, _, _ := strings.Cut(strings.SplitAfter(listens[len(listens)-1].Body, `"id":`)[1], ",")
			sc.Set("tools/list", fmt.Sprintf(`{"tools":[{"name":"%d"}]}`, i))
			feed.Out <- strings.Replace(end, "%s", id, 1)
			time.Sleep(40 * time.Second)
			if got := texts(s.Snapshot().Lists.Tools); int(feed.Opened.Load()) != i+2 || len(got) != 1 || got[0] != fmt.Sprintf(`{"name":"%d"}`, i) {
				t.Errorf("end %d: %d streams, tools %q", i, feed.Opened.Load(), got)
			}
		}
	})
}

// Without announcements a server is asked as often as it says that its lists
// change, within bounds.
func TestListsAreReadByTheirTTL(t *testing.T) {
	t.Parallel()
	const listens = `{"tools":{"listChanged":true}}`
	refuses := func(w http.ResponseWriter, _ *http.Request, _, _ string) { w.WriteHeader(http.StatusMethodNotAllowed) }
	honours := func(w http.ResponseWriter, r *http.Request, id, filter string) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(rawserver.Acknowledgement(id, filter)))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	honoursNothing := func(w http.ResponseWriter, r *http.Request, id, _ string) { honours(w, r, id, "{}") }
	for _, test := range []struct {
		name, capabilities, ttl string
		listen                  func(http.ResponseWriter, *http.Request, string, string)
		least, most             int // listings in an hour
	}{
		{"no announcements", `{"tools":{}}`, "60000", nil, 60, 120},
		{"no subscriptions", listens, "60000", nil, 60, 120},
		{"refused", listens, "60000", refuses, 60, 120},
		{"nothing honoured", listens, "60000", honoursNothing, 60, 120},
		{"not said", listens, "0", nil, 12, 25},
		{"negative", listens, "-1", nil, 12, 25},
		{"always", listens, "1", nil, 360, 720},
		{"never", listens, "1e300", nil, 12, 25},
		{"announced", listens, "1000", honours, 12, 26},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := &rawserver.Server{
					Discover: rawserver.Discovery(test.capabilities), Stateless: true, Listen: test.listen,
					Results: map[string]string{"tools/list": `{"tools":[],"cacheScope":"public","ttlMs":` + test.ttl + `}`},
				}
				transport, _ := rawserver.Serve(t, sc)
				s, stop := start(t, transport, nil)
				time.Sleep(time.Hour)
				stop()
				if now := s.Snapshot(); now.State != Ready || now.Private {
					t.Errorf("%+v", now)
				}
				if got := len(sc.Requests("POST", "tools/list")); got < test.least || got > test.most {
					t.Errorf("%d listings in an hour, want %d to %d", got, test.least, test.most)
				}
			})
		})
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := rawserver.NewFeed()
		sc := subscribable(feed)
		transport, _ := rawserver.Serve(t, sc)
		s := newServer(t, transport, nil)
		var got []string
		enough := errors.New("enough")
		done := make(chan error)
		go func() {
			done <- s.Watch(t.Context(), Watching{
				URIs: []string{"a://b", `a://"`}, TaskIDs: []string{"t"}, Capabilities: []byte(`{"x":1}`),
				Acknowledged: func(uris, taskIDs []string) { got = append(got, fmt.Sprint("ack ", uris, taskIDs)) },
				Message: func(message []byte) error {
					if got = append(got, string(message)); strings.Contains(string(message), "last") {
						return enough
					}
					return nil
				},
			})
		}()
		const updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a://b","n":1.0}}`
		const tasks = `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t"}}`
		const last = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"last"}}`
		feed.Out <- "data: " + updated + "\n\ndata: nothing\n\n" + rawserver.Notification(mcp.MethodNotifyToolsChanged)
		feed.Out <- "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n" + rawserver.Notification("notifications/message")
		feed.Out <- "data: " + tasks + "\n\n"
		feed.Out <- rawserver.End
		feed.Out <- "data: " + last + "\n\n" // to the next stream
		if err := <-done; !errors.Is(err, enough) {
			t.Errorf("Watch: %v", err)
		}
		if diff := cmp.Diff([]string{`ack [a://b a://"] [t]`, updated, tasks, `ack [a://b a://"] [t]`, last}, got); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
		listens := sc.Requests("POST", mcp.MethodListen)
		const params = `"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"gw","version":"9"},"io.modelcontextprotocol/clientCapabilities":{"x":1}},` +
			`"notifications":{"resourceSubscriptions":["a://b","a://\""],"taskIds":["t"]}}`
		if len(listens) != 2 || !strings.Contains(listens[0].Body, params) {
			t.Errorf("asked for %+v", listens)
		}
		if len(sc.Requests("POST", "")) != 0 {
			t.Error("something was answered")
		}
		if !s.waiting.Load() {
			t.Error("the change of the lists is not remembered")
		}
	})
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	refusing := func(status int, kind, body string) func(http.ResponseWriter, *http.Request, string, string) {
		return func(w http.ResponseWriter, _ *http.Request, id, _ string) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(strings.ReplaceAll(body, "ID", id)))
		}
	}
	const jsonType = "application/json"
	for _, test := range []struct {
		name   string
		listen func(http.ResponseWriter, *http.Request, string, string)
		want   string // in the error; empty for tried again
	}{
		{"unknown", nil, ErrNoStream.Error()},
		{"no such method", refusing(404, "text/plain", "no"), ErrNoStream.Error()},
		{"unknown, in the stream", refusing(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"error\":{\"code\":-32601,\"message\":\"\"}}\n\n"), ErrNoStream.Error()},
		{"result at once", refusing(200, jsonType, `{"jsonrpc":"2.0","id":ID,"result":{}}`), ErrNoStream.Error()},
		{"HTML", refusing(200, "text/html", `<p>`), ErrNoStream.Error()},
		{"capability", refusing(400, jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32021,"message":"tasks"}}`), "-32021: tasks"},
		{"busy", refusing(503, "text/plain", ""), ""},
		{"error", refusing(200, jsonType, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":""}}`), ""},
		{"not acknowledged", refusing(200, "text/event-stream", rawserver.Notification(mcp.MethodNotifyResourceUpdated)), ""},
		{"hangs", func(_ http.ResponseWriter, r *http.Request, _, _ string) { <-r.Context().Done() }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := subscribable(nil)
				sc.Listen = test.listen
				transport, _ := rawserver.Serve(t, sc)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				err := newServer(t, transport, nil).Watch(ctx, Watching{URIs: []string{"a://b"}, Message: func(message []byte) error {
					t.Errorf("unacknowledged %s", message)
					return nil
				}})
				tries := len(sc.Requests("POST", mcp.MethodListen))
				switch {
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || tries != 1):
					t.Errorf("%v after %d tries, want %q", err, tries, test.want)
				case test.want == "" && (!errors.Is(err, context.DeadlineExceeded) || tries < 4 || tries > 20):
					t.Errorf("%v after %d tries", err, tries)
				}
			})
		})
	}
}
