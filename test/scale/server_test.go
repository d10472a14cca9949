package scale

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// server is an MCP server with sessions that does as little as possible. It
// counts, and holds the sessions by who they were opened for: the gateway passes
// the client's clientInfo on.
type server struct {
	name string
	url  string
	// slow is how long initialize takes.
	slow time.Duration

	made, most, busy atomic.Int64 // sessions, and initialize at one time
	streams, lists   atomic.Int64

	mu       sync.Mutex
	owners   map[string]string // session id to clientInfo.name
	openedBy map[string]int    // how many sessions a clientInfo.name has got
	deleted  map[string]bool
	list     string // the tools
	told     map[net.Conn]bool
}

// serve runs a server with a number of tools until the test ends.
func serve(t testing.TB, name string, tools int) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		name: name, url: "http://" + l.Addr().String() + "/mcp",
		owners: map[string]string{}, openedBy: map[string]int{}, deleted: map[string]bool{}, told: map[net.Conn]bool{},
	}
	s.list = toolsOf(tools, "")
	h := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = h.Serve(l) }()
	t.Cleanup(func() { _ = h.Close() })
	return s
}

// toolsOf returns a list of tools of a common size: about 350 bytes each.
func toolsOf(n int, mark string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"name":"tool_%d","description":"Does what tool %d does, for a text%s, and answers with another one that says so.","inputSchema":{"type":"object","properties":{"text":{"type":"string","description":"What it is about"},"limit":{"type":"integer","minimum":1}},"required":["text"]},"annotations":{"readOnlyHint":true}}`, i, i, mark)
	}
	return `{"tools":[` + strings.Join(items, ",") + `]}`
}

// relist changes the list and tells all who listen.
func (s *server) relist(list string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
	s.tell(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
}

func (s *server) config(prefix bool) gatewayconfig.Server {
	c := gatewayconfig.Server{Name: s.name, URL: s.url, Cluster: gatewayconfig.ServerClusters + s.name, Label: s.name, ListTimeout: gatewayconfig.Duration(10 * time.Second)}
	if prefix {
		c.Prefix = s.name + "_"
	}
	return c
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.stream(w, r)
	case http.MethodDelete:
		s.mu.Lock()
		s.deleted[r.Header.Get("Mcp-Session-Id")] = true
		s.mu.Unlock()
	case http.MethodPost:
		s.post(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		ProtocolVersion string `json:"protocolVersion"`
		ClientInfo      struct {
			Name string `json:"name"`
		} `json:"clientInfo"`
	} `json:"params"`
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m message
	if err != nil || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer := func(result string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, m.ID, result)
	}
	switch m.Method {
	case "initialize":
		s.initialize(w, m)
		answer(`"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"` + s.name + `","version":"1"}}`)
	case "tools/list":
		s.lists.Add(1)
		s.mu.Lock()
		list := s.list
		s.mu.Unlock()
		answer(`"result":` + list)
	case "tools/call":
		// Whose session it is, so that the caller sees whether it is the right one.
		s.mu.Lock()
		owner := s.owners[r.Header.Get("Mcp-Session-Id")]
		s.mu.Unlock()
		answer(`"result":{"content":[{"type":"text","text":"` + s.name + " " + owner + `"}]}`)
	case "ping":
		answer(`"result":{}`)
	default:
		answer(`"error":{"code":-32601,"message":"method not found"}`)
	}
}

func (s *server) initialize(w http.ResponseWriter, m message) {
	now := s.busy.Add(1)
	defer s.busy.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	if s.slow > 0 {
		<-time.After(s.slow)
	}
	id := fmt.Sprintf("%s-%08d", s.name, s.made.Add(1))
	s.mu.Lock()
	s.owners[id] = m.Params.ClientInfo.Name
	s.openedBy[m.Params.ClientInfo.Name]++
	s.mu.Unlock()
	w.Header().Set("Mcp-Session-Id", id)
}

// stream holds an event stream open, on a connection without net/http: of what a
// test's process has in memory the servers are to be a small part.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	s.mu.Lock()
	s.told[conn] = true
	s.mu.Unlock()
	s.streams.Add(1)
	go func() {
		_, _ = conn.Read(make([]byte, 1)) // until the client leaves
		s.mu.Lock()
		delete(s.told, conn)
		s.mu.Unlock()
		s.streams.Add(-1)
		_ = conn.Close()
	}()
}

// tell sends a message on all streams. Called under mu.
func (s *server) tell(message string) {
	event := "data: " + message + "\n\n"
	for conn := range s.told {
		_, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(event), event)
	}
}

// sessions returns how many sessions there were opened for clients of the
// gateway, those of its own left out, and who has got more than one.
func (s *server) sessions(prefix string) (all int, twice []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.openedBy {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		all += n
		if n > 1 {
			twice = append(twice, name)
		}
	}
	return all, twice
}

// ended returns how many sessions the gateway has ended.
func (s *server) ended() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.deleted)
}
