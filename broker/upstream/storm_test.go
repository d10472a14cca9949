package upstream

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/mcp"
)

// Whatever a server does, it is asked a bounded number of times: discovery sends
// it at most a listing of everything, of some eight requests, now and then.
func TestOddServersAreNotHammered(t *testing.T) {
	t.Parallel()
	const perMinute = 40
	type odd func(w http.ResponseWriter, r *http.Request, method, id string) bool
	// only answers requests of a method, always with the same.
	only := func(verb, method string, answer func(w http.ResponseWriter)) odd {
		return func(w http.ResponseWriter, r *http.Request, got, _ string) bool {
			if r.Method != verb || got != method && method != "*" {
				return false
			}
			answer(w)
			return true
		}
	}
	code := func(status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status) }
	}
	text := func(status int, kind, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	html := text(http.StatusOK, "text/html", "<p>It works!</p>")
	redirect := func(w http.ResponseWriter) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	listen := func(f func(w http.ResponseWriter, id string)) odd {
		return func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method == mcp.MethodListen {
				f(w, id)
			}
			return method == mcp.MethodListen
		}
	}
	acknowledged := func(then func(w http.ResponseWriter, id string)) odd {
		return listen(func(w http.ResponseWriter, id string) {
			text(http.StatusOK, typeStream, rawserver.Acknowledgement(id, `{"toolsListChanged":true}`))(w)
			_ = http.NewResponseController(w).Flush()
			then(w, id)
		})
	}
	// every answers each second request, or contact, in another way.
	every := func(other odd) odd {
		var n atomic.Int64
		return func(w http.ResponseWriter, r *http.Request, method, id string) bool {
			return n.Add(1)%2 == 0 && other(w, r, method, id)
		}
	}
	flapping := func(result string) odd {
		var n atomic.Int64
		return func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
			if method != mcp.MethodDiscover || n.Add(1)%2 == 0 {
				return false
			}
			if result == "" {
				w.WriteHeader(http.StatusBadRequest)
			} else {
				rawserver.Respond(w, id, result)
			}
			return true
		}
	}
	withSession := func(other func(http.ResponseWriter)) odd {
		return func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
			if r.Header.Get(mcp.HeaderSession) == "" {
				return false
			}
			other(w)
			return true
		}
	}
	// ends forgets a session as soon as its stream is asked for.
	ends := odd(func(w http.ResponseWriter, r *http.Request, method, _ string) bool {
		if r.Method != http.MethodGet && method != mcp.MethodPing {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	stateless := func() *rawserver.Server {
		sc := subscribable(rawserver.NewFeed())
		sc.Results["tools/list"] = `{"tools":[],"ttlMs":1,"cacheScope":"public"}`
		return sc
	}
	sessions := func() *rawserver.Server {
		return &rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Session: "s", Results: rawserver.Empty(), Stream: rawserver.NewFeed().ServeHTTP}
	}
	dual := func() *rawserver.Server {
		sc := sessions()
		sc.Discover = rawserver.Discovery(rawserver.Everything)
		sc.Listen = rawserver.NewFeed().Listen
		return sc
	}
	for name, test := range map[string]struct {
		server func() *rawserver.Server
		odd    odd
	}{
		"401":              {stateless, only("POST", "*", code(401))},
		"503":              {stateless, only("POST", "*", code(503))},
		"404":              {stateless, only("POST", "*", code(404))},
		"html":             {stateless, only("POST", "*", html)},
		"redirect":         {stateless, only("POST", "*", redirect)},
		"ttlMs of 1":       {stateless, only("POST", mcp.MethodListen, code(405))},
		"listen 400":       {stateless, only("POST", mcp.MethodListen, code(400))},
		"listen 401":       {stateless, only("POST", mcp.MethodListen, code(401))},
		"listen 503":       {stateless, only("POST", mcp.MethodListen, code(503))},
		"listen html":      {stateless, only("POST", mcp.MethodListen, html)},
		"listen redirects": {stateless, only("POST", mcp.MethodListen, redirect)},
		"listen refused as wrong": {stateless, listen(func(w http.ResponseWriter, id string) {
			text(400, typeJSON, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32602,"message":"no"}}`)(w)
		})},
		"listen fails inside": {stateless, listen(func(w http.ResponseWriter, id string) {
			text(200, typeStream, `data: {"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32603,"message":"no"}}`+"\n\n")(w)
		})},
		"listen ends at once":         {stateless, only("POST", mcp.MethodListen, text(200, typeStream, ""))},
		"listen ends after the begin": {stateless, acknowledged(func(http.ResponseWriter, string) {})},
		"listen ends after 31 s":      {stateless, acknowledged(func(http.ResponseWriter, string) { time.Sleep(31 * time.Second) })},
		"listen tells of changes, ends": {stateless, acknowledged(func(w http.ResponseWriter, _ string) {
			_, _ = w.Write([]byte(strings.Repeat(rawserver.Notification(mcp.MethodNotifyToolsChanged), 100)))
		})},
		"listen does not begin":          {stateless, only("POST", mcp.MethodListen, text(200, typeStream, rawserver.Notification(mcp.MethodNotifyToolsChanged)))},
		"replicas announce unlike":       {stateless, flapping(rawserver.Discovery(`{"tools":{}}`))},
		"replicas speak unlike":          {dual, flapping(rawserver.Discovery(rawserver.Everything, "2026-07-28", "2025-11-25"))},
		"replicas of unlike eras":        {dual, flapping("")},
		"every second request fails":     {stateless, every(only("POST", "*", code(500)))},
		"every second request, sessions": {sessions, every(only("POST", "*", code(500)))},
		"sessions known by another":      {sessions, every(withSession(code(404)))},
		"sessions forgotten at once":     {sessions, withSession(code(404))},
		"stream without session":         {sessions, only("GET", "", code(404))},
		"stream ends the session":        {sessions, ends},
		"stream refused":                 {sessions, only("GET", "", code(400))},
		"dual, stream without session":   {dual, only("GET", "", code(404))},
		"dual, no sessions":              {dual, only("POST", mcp.MethodInitialize, code(503))},
		"dual, initialize hangs":         {dual, only("POST", mcp.MethodInitialize, func(http.ResponseWriter) { time.Sleep(time.Minute) })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := test.server()
				sc.Intercept = test.odd
				transport, _ := rawserver.Serve(t, sc)
				_, stop := start(t, transport, nil)
				time.Sleep(time.Minute)
				seen := len(sc.Seen())
				for minute := 2; minute <= 10; minute++ {
					time.Sleep(time.Minute)
					now := len(sc.Seen())
					if now-seen > perMinute {
						t.Errorf("%d requests in minute %d, want %d at most", now-seen, minute, perMinute)
					}
					seen = now
				}
				stop()
			})
		})
	}
}

// A subscription that a server ends, or fails to begin, is asked for again with
// growing pauses.
func TestWatchIsNoStorm(t *testing.T) {
	t.Parallel()
	status := func(code int) func(http.ResponseWriter, *http.Request, string, string) {
		return func(w http.ResponseWriter, _ *http.Request, _, _ string) { w.WriteHeader(code) }
	}
	for name, listen := range map[string]func(w http.ResponseWriter, r *http.Request, id, filter string){
		"400":          status(http.StatusBadRequest),
		"401":          status(http.StatusUnauthorized),
		"503":          status(http.StatusServiceUnavailable),
		"ends at once": func(w http.ResponseWriter, _ *http.Request, _, _ string) { w.Header().Set("Content-Type", typeStream) },
		"ends after the begin": func(w http.ResponseWriter, _ *http.Request, id, filter string) {
			w.Header().Set("Content-Type", typeStream)
			_, _ = w.Write([]byte(rawserver.Acknowledgement(id, filter)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := subscribable(rawserver.NewFeed())
				sc.Listen = listen
				transport, _ := rawserver.Serve(t, sc)
				s := newServer(t, transport, nil)
				go func() { _ = s.Watch(t.Context(), Watching{URIs: []string{"a:b"}}) }()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := len(sc.Requests("POST", mcp.MethodListen)); n < 20 || n > 60 {
					t.Errorf("asked for %d times in 10 minutes, want a wait of 15s to 30s between", n)
				}
			})
		})
	}
}
