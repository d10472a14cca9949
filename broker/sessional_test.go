package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"mcp-gateway/broker/rawserver"
)

// sessional is a server with sessions, whose tools are scripts.
type sessional struct {
	*rawserver.Server
	mu      sync.Mutex
	count   int
	live    map[string]string // session to the raw body of initialize
	streams map[string]chan string
	told    []string // answers and notifications of clients, in order
	news    chan struct{}
	scripts map[string]func(x *exchange)
	// noStream has GET answered with 405.
	noStream bool
}

// exchange is one call at a sessional server.
type exchange struct {
	*sessional
	w           http.ResponseWriter
	ctx         context.Context
	id, session string
	body        string
	streaming   bool
}

func newSessional(tools ...string) *sessional {
	s := &sessional{
		Server: raw(tools...), live: map[string]string{}, streams: map[string]chan string{},
		news: make(chan struct{}, 100), scripts: map[string]func(*exchange){},
	}
	s.Hello = rawserver.Hello(`{"tools":{},"prompts":{},"resources":{"subscribe":true},"logging":{},"completions":{}}`)
	s.Results["logging/setLevel"] = `{}`
	s.Intercept = s.intercept
	return s
}

func (s *sessional) intercept(w http.ResponseWriter, r *http.Request, method, id string) bool {
	all := s.Seen()
	body := all[len(all)-1].Body
	s.mu.Lock()
	session := r.Header.Get("Mcp-Session-Id")
	if method == "initialize" {
		s.count++
		session = fmt.Sprintf("s%d", s.count)
		s.live[session], s.streams[session] = body, make(chan string)
		s.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", session)
		rawserver.Respond(w, id, s.Hello)
		return true
	}
	_, known := s.live[session]
	if !known {
		s.mu.Unlock()
		w.WriteHeader(404)
		return true
	}
	if r.Method == "DELETE" {
		delete(s.live, session)
	}
	if r.Method == "POST" && (id == "" || method == "") && method != "notifications/initialized" {
		s.told = append(s.told, body)
		s.news <- struct{}{}
	}
	stream := s.streams[session]
	s.mu.Unlock()
	if r.Method == "GET" {
		if s.noStream {
			w.WriteHeader(405)
			return true
		}
		(&rawserver.Feed{Out: stream}).ServeHTTP(w, r)
		return true
	}
	var m struct{ Params struct{ Name string } }
	_ = json.Unmarshal([]byte(body), &m)
	script := s.scripts[m.Params.Name]
	if script == nil || method != "tools/call" {
		return false
	}
	x := &exchange{sessional: s, w: w, ctx: r.Context(), id: id, session: session, body: body}
	script(x)
	return true
}

// say sends a message on the call's stream.
func (x *exchange) say(message string) {
	if !x.streaming {
		x.streaming = true
		x.w.Header().Set("Content-Type", "text/event-stream")
	}
	_, _ = x.w.Write([]byte("data: " + message + "\n\n"))
	_ = http.NewResponseController(x.w).Flush()
}

// end answers the call.
func (x *exchange) end(result string) {
	x.say(`{"jsonrpc":"2.0","id":` + x.id + `,"result":` + result + `}`)
}

// hear waits for what clients tell next.
func (s *sessional) hear(ctx context.Context) string {
	select {
	case <-s.news:
	case <-ctx.Done():
		return "gone"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.told[0]
	s.told = s.told[1:]
	return first
}

// sessions returns how many there are besides the one of discovery.
func (s *sessional) sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live) - 1
}
