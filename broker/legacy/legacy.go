// Package legacy serves clients of older forms of the protocol: the transport
// HTTP+SSE (2024-11-05, basic/transports, HTTP with SSE) and the batches of
// 2025-03-26. It is a Streamable HTTP client of the gateway's own endpoint on
// their behalf: what they send goes there message by message, so that their
// calls take the way of all calls, through the filter.
//
// It decides nothing about MCP but the revision: an HTTP+SSE client gets
// 2024-11-05 if that is what it asked for. All messages pass as bytes.
package legacy

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/wire"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const (
	typeJSON   = "application/json"
	typeStream = "text/event-stream"

	// maxWaiting bounds what one client has sent and got no answer to; in bytes
	// it is waitingBodies times the largest body.
	maxWaiting    = 128
	waitingBodies = 4
	// maxHeld bounds the bytes of what all clients have sent and got no answer to,
	// batches with it, one message of each HTTP+SSE client apart: nobody's keep
	// others from being served.
	maxHeld = 64 << 20

	// keepAliveEvery is the time between comments on a stream, well below the
	// idle timeouts of proxies.
	keepAliveEvery = 20 * time.Second
	// writeTimeout ends a stream whose client takes nothing.
	writeTimeout = 30 * time.Second
	// initTimeout ends a stream whose client does not initialize.
	initTimeout = 30 * time.Second
	// endTimeout bounds the end of a session after its stream.
	endTimeout = 5 * time.Second
)

// Options adjust Clients. All but Transport and Refused must be set.
type Options struct {
	Log *zap.Logger
	// Life ends all streams when it ends.
	Life context.Context
	// End ends a session in this process: when its client has left and the
	// endpoint cannot be reached, because the gateway itself is ending.
	End func(ctx context.Context, session string)
	// Transport reaches the endpoint; nil means one of its own.
	Transport http.RoundTripper
	// Refused is called for each client that is one too many; nil for nothing to do.
	Refused func()
}

// Config is what a request is served by; it may be another for each.
type Config struct {
	// Endpoint is the URL of the gateway's endpoint; empty means that nobody is
	// served here.
	Endpoint string
	// SSEPath is where HTTP+SSE streams are opened; empty means nowhere.
	SSEPath string
	// BodyLimit is the largest message in bytes.
	BodyLimit int64
	// Principal is who sends the request, an opaque text; empty for anybody. Nobody
	// else than who has opened a stream posts to it, and of what all share each has
	// a part at most.
	Principal string
	// MaxStreams bounds the HTTP+SSE streams that are open at one time, of which a
	// principal has a share. Each also holds a stream of the gateway's own, which
	// comes back to this process.
	MaxStreams int
}

// Clients are the clients of older forms.
type Clients struct {
	opts Options
	http *http.Client
	held room
	in   *rooms

	mu   sync.Mutex
	open map[string]*client
}

// New returns Clients, none of them connected.
func New(o Options) *Clients {
	if o.Transport == nil {
		dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
		o.Transport = &http.Transport{
			DialContext:            dialer.DialContext,
			DisableCompression:     true, // it could hold events back
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &Clients{
		opts: o,
		http: &http.Client{
			Transport:     o.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		held: newRoom(maxHeld),
		in:   newRooms(),
		open: make(map[string]*client),
	}
}

// Serve answers a request to one of the paths of HTTP+SSE; false if it is to
// another.
func (c *Clients) Serve(w http.ResponseWriter, r *http.Request, cfg Config) bool {
	switch {
	case cfg.SSEPath == "" || cfg.Endpoint == "":
		return false
	case r.URL.Path == cfg.SSEPath:
		c.stream(w, r, cfg)
	case r.URL.Path == cfg.SSEPath+gatewayconfig.PathMessages:
		c.message(w, r, cfg)
	default:
		return false
	}
	return true
}

// find returns the client with that id, nil if its stream is not open here.
func (c *Clients) find(id string) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open[id]
}

// add takes in a client whose stream is to be opened; false if there are too
// many, in all or of its principal.
func (c *Clients) add(cl *client, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := 0
	for _, other := range c.open {
		if other.owner == cl.owner {
			own++
		}
	}
	if len(c.open) >= most || cl.owner != "" && own >= gatewayconfig.Share(most) {
		return false
	}
	c.open[cl.id] = cl
	return true
}

// Count returns how many HTTP+SSE clients there are.
func (c *Clients) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

func (c *Clients) remove(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, cl.id)
}

// fail answers a request with a JSON-RPC error. id is raw, empty if unknown.
func fail(w http.ResponseWriter, status, code int, id []byte, message string) {
	wire.Error(w, status, id, code, message, nil)
}

// failLater answers with 503: the same request may succeed soon.
func failLater(w http.ResponseWriter, id []byte, message string) {
	w.Header().Set("Retry-After", "5")
	fail(w, http.StatusServiceUnavailable, mcp.CodeInternalError, id, message)
}

// beginStream writes the head of an event stream.
func beginStream(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", typeStream)
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
}
