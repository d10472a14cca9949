package broker

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/broker/session"
)

// One that forgets each session at once is not opened sessions at all the time.
func TestServerThatForgetsEverySession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.listen(id)
		g.join(id, "one")
		hello := one.Intercept
		one.Intercept = func(w http.ResponseWriter, r *http.Request, method, id string) bool {
			if method != "initialize" && r.Header.Get("Mcp-Session-Id") != "discovery" {
				if method != "notifications/initialized" {
					w.WriteHeader(http.StatusNotFound)
					return true
				}
			}
			return hello(w, r, method, id)
		}
		one.clients.Out <- rawserver.End
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if n := len(one.Requests("POST", "initialize")); n < 15 || n > 60 {
			t.Errorf("%d sessions in 20 minutes, want one each half to whole minute", n)
		}
	})
}

// One that answers every GET with 404 has no stream, and keeps its session.
func TestServerWithoutStreamThatAnswers404(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		discovery := one.Stream
		one.Stream = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Session-Id") == "discovery" {
				discovery(w, r)
				return
			}
			w.WriteHeader(http.StatusNotFound)
		}
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.listen(id)
		g.join(id, "one")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(one.Requests("POST", "initialize")); n != 2 {
			t.Errorf("%d sessions, want discovery's and one", n)
		}
		if n := len(one.Requests("GET", "")); n != 2 {
			t.Errorf("%d GET", n)
		}
	})
}

func TestSickServerDelaysNoOtherStream(t *testing.T) {
	t.Parallel()
	for name, sick := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"fails": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"ends at once": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
		},
		"garbage": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("\x00\xff\r\rdata\n\n:::\nid\ndata: {\n\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"endless line": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			chunk := []byte("data: " + strings.Repeat("x", 1<<20))
			for range 20 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bad, good := newTalker("a"), newTalker("b")
				healthy := bad.Stream
				var opened atomic.Int32
				bad.Stream = func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Mcp-Session-Id") == "discovery" {
						healthy(w, r)
						return
					}
					opened.Add(1)
					sick(w, r)
				}
				g := newGateway(t, setup{config: config("bad", "good")}, map[string]http.Handler{"bad": bad, "good": good})
				id := g.open()
				g.join(id, "bad")
				stream := g.listen(id)
				g.join(id, "good")
				for range 3 {
					good.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
					stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"x"}`))
					time.Sleep(time.Minute)
				}
				if n := opened.Load(); n > 25 {
					t.Errorf("opened %d times in 3 minutes", n)
				}
			})
		})
	}
}

// A client that takes nothing holds one event of each server, then its stream
// ends; the server is not read on meanwhile.
func TestSlowClientHoldsOneEventOfAServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newTalker("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		id := g.open()
		g.join(id, "one")
		r, _ := http.NewRequest("GET", "http://gateway/mcp", nil)
		r.Header.Set("Mcp-Session-Id", id)
		resp, err := g.public.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		synctest.Wait()
		big := "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"x\":\"" + strings.Repeat("x", 64<<10) + "\"}}\n\n"
		var taken atomic.Int32
		go func() {
			for range 100 {
				select {
				case one.clients.Out <- big:
					taken.Add(1)
				case <-t.Context().Done():
				}
			}
		}()
		synctest.Wait()
		if n := taken.Load(); n > 10 {
			t.Errorf("%d events are taken for a client that reads none", n)
		}
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if n := g.broker.hub.count(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func TestStreamLeavesServersThatAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := newTalker("a"), newTalker("b")
		g := newGateway(t, setup{config: config("one", "two")}, map[string]http.Handler{"one": one, "two": two})
		id := g.open()
		g.join(id, "one")
		g.join(id, "two")
		stream := g.listen(id)
		synctest.Wait()
		g.apply(config("one"))
		time.Sleep(2 * time.Second)
		stream.wantNext(t, changedEvent("tools"))
		select {
		case two.clients.Out <- "x":
			t.Error("the stream of a removed server is still read")
		default:
		}
		g.apply(config("one", "two"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		stream.drain()
		two.clients.Out <- "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"
		stream.wantNext(t, event("", `{"jsonrpc":"2.0","method":"x"}`))

		// With the client's stream all others end.
		stream.close()
		synctest.Wait()
		for _, s := range []*talker{one, two} {
			select {
			case s.clients.Out <- "x":
				t.Error("a server is still read without anybody to hear")
			default:
			}
		}
		_, err := g.store.Delete(t.Context(), session.ID(id))
		if err != nil {
			t.Error(err)
		}
	})
}
