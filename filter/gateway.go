package filter

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"mcp-gateway/internal/fault"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const (
	// revalidateEvery is the least time between two background fetches of the
	// table; only traffic causes one.
	revalidateEvery = int64(250 * time.Millisecond)
	// currentFor is how long a table may be used without having been found to be
	// current: after a pause in the traffic the next request waits for that. What
	// rules or quarantine have taken from clients can be called no longer.
	currentFor = int64(500 * time.Millisecond)
	// recheckBurst is how many requests within recheckEvery may wait for a fetch
	// of their own, because they name what the table does not know. It bounds what
	// a client with made-up names can cause. One for all would not do: what it
	// brings may be older than the list that the next client has just read.
	recheckBurst = 16
	recheckEvery = int64(50 * time.Millisecond)
	// keepWithoutBroker is how long a known backend session is used before a
	// broker that was away is asked again.
	keepWithoutBroker = int64(10 * time.Second)
)

// Gateway is what all streams of one filter configuration share: the
// configuration, the routing table and the session cache. Safe for concurrent
// use by all workers.
type Gateway struct {
	cfg       gatewayconfig.Filter
	hostnames map[string]bool
	origins   map[string]bool
	host      atomic.Pointer[string] // the last Host that was allowed, as it came
	auth      *auth                  // nil lets in everybody
	shared    *shared                // nil where all traffic is the endpoint's

	table   atomic.Pointer[table]
	tables  atomic.Uint64 // how many there have been
	fetched atomic.Int64  // when a fetch of the table was last begun
	// current is when the table was last found to be, listed when a client last
	// asked for a list: what that does not show is not to be called after it.
	current, listed atomic.Int64
	// rechecks are those since recheckFrom.
	rechecks, recheckFrom atomic.Int64
	// questions are the streams that wait for the broker.
	questions atomic.Int64
	sessions  *sessions
	hints     *hints
	tokens    *tokens
	names     atomic.Pointer[map[string]string] // see Gateway.name
	proof     []byte                            // see Prove
}

// New makes a Gateway from its static configuration.
func New(cfg gatewayconfig.Filter) (*Gateway, error) {
	var errs []error
	if !strings.HasPrefix(cfg.Path, "/") {
		errs = append(errs, fmt.Errorf("path %q: want an absolute path", cfg.Path))
	}
	if cfg.SSEPath != "" && (!strings.HasPrefix(cfg.SSEPath, "/") || cfg.SSEPath == cfg.Path) {
		errs = append(errs, fmt.Errorf("ssePath %q: want an absolute path other than path", cfg.SSEPath))
	}
	if cfg.BodyLimit <= 0 || cfg.ResponseLimit <= 0 {
		errs = append(errs, errors.New("bodyLimit and responseLimit: want numbers of bytes above 0"))
	}
	if cfg.Table == nil && (cfg.InternalCluster == "" && cfg.InternalAddress == "" || cfg.AskTimeout <= 0) {
		errs = append(errs, errors.New("askTimeout and internalCluster, or internalAddress, are needed where no table is given"))
	}
	if cfg.EventLimit <= 0 {
		cfg.EventLimit = cfg.ResponseLimit
	}
	g := &Gateway{cfg: cfg, sessions: newSessions(), hints: newHints(), tokens: newTokens(), hostnames: make(map[string]bool), origins: make(map[string]bool)}
	for _, h := range cfg.Hostnames {
		g.hostnames[strings.ToLower(h)] = true
	}
	for _, o := range cfg.AllowedOrigins {
		g.origins[strings.ToLower(o)] = true
	}
	a, err := newAuth(cfg.Auth)
	if err != nil {
		errs = append(errs, err)
	}
	g.auth = a
	if g.shared, err = newShared(&cfg); err != nil {
		errs = append(errs, err)
	}
	if cfg.Table != nil {
		t, err := newTable(cfg.Table, nil)
		if err != nil {
			errs = append(errs, err)
		}
		g.table.Store(t)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("filter configuration: %w", err)
	}
	return g, nil
}

// Prove has every request on its way to the broker carry proof of whose it is, as
// mcp.HeaderProof. To be called before the first request; nil for none.
func (g *Gateway) Prove(proof []byte) { g.proof = proof }

// Config returns the configuration that the Gateway was made from.
func (g *Gateway) Config() gatewayconfig.Filter { return g.cfg }

// TableQuestion is what a host asks to fetch the table.
func (g *Gateway) TableQuestion() Question {
	q := Question{Method: "GET", Path: gatewayconfig.PathTable}
	if t := g.table.Load(); t != nil {
		q.ETag = `"` + t.version + `"`
	}
	return q
}

// Mark is which table the broker is asked for a newer one of, and when.
type Mark struct {
	Table uint64
	At    int64 // nanoseconds, as the host counts them
}

// Mark is that of a TableQuestion that is made after it.
func (g *Gateway) Mark() Mark { return Mark{g.tables.Load(), g.fetched.Load()} }

// Confirm takes the broker's word that there is no newer table, as TakeTable does of
// 304. It may be said again, and late: of a table that is not the last it says nothing.
func (g *Gateway) Confirm(m Mark) {
	if m.Table == g.tables.Load() {
		g.found(m.At)
	}
}

// TakeTable takes the broker's answer to TableQuestion: 200 with a new table,
// 304 for no change since it was asked, at a time of the host's. On any error the old
// table stays.
func (g *Gateway) TakeTable(status int, body []byte, asked int64) error {
	fault.At("table")
	switch status {
	case 304:
		g.found(asked)
		return nil
	case 200:
		var t gatewayconfig.Table
		if err := gatewayconfig.Decode(body, &t); err != nil {
			return fmt.Errorf("routing table: %w", err)
		}
		next, err := newTable(&t, g.table.Load())
		if err != nil {
			return err
		}
		if g.cfg.Table == nil {
			g.table.Store(next)
			g.tables.Add(1)
		}
		g.found(asked)
		return nil
	default:
		return fmt.Errorf("routing table: the broker answered %d", status)
	}
}

// Shared reports whether Envoy has traffic of others, too, and routes of others.
func (g *Gateway) Shared() bool { return g.shared != nil }

// CachedSessions is the number of client sessions that the Gateway knows.
func (g *Gateway) CachedSessions() int { return g.sessions.size() }

// begin claims the right to fetch the table now, if the last fetch began at
// least every nanoseconds ago.
func (g *Gateway) begin(now, every int64) bool {
	if g.cfg.Table != nil {
		return false
	}
	last := g.fetched.Load()
	return now-last >= every && g.fetched.CompareAndSwap(last, now)
}

// found notes that the table was current at a time.
func (g *Gateway) found(at int64) {
	if g.current.Load() < at {
		g.current.Store(at)
	}
}

// outdated reports whether the table was not found to be current for too long, or
// since somebody has asked for a list.
func (g *Gateway) outdated(now int64) bool {
	current := g.current.Load()
	return g.cfg.Table == nil && (now-current > currentFor || current < g.listed.Load())
}

// passes notes a request that the broker answers.
func (g *Gateway) passes(method []byte, now int64) {
	switch string(method) {
	case mcp.MethodToolsList, mcp.MethodPromptsList:
		g.listed.Store(now)
	}
}

// recheck is begin for a request that cannot go on with the table as it is.
func (g *Gateway) recheck(now int64) bool {
	if g.cfg.Table != nil {
		return false
	}
	if from := g.recheckFrom.Load(); now-from >= recheckEvery && g.recheckFrom.CompareAndSwap(from, now) {
		g.rechecks.Store(0)
	}
	return g.rechecks.Add(1) <= recheckBurst
}

// hostAllowed checks a Host or :authority value, port ignored.
func (g *Gateway) hostAllowed(authority string) bool {
	if len(g.hostnames) == 0 {
		return true
	}
	if last := g.host.Load(); last != nil && *last == authority {
		return true
	}
	if !g.isOwn(authority) {
		return false
	}
	own := strings.Clone(authority)
	g.host.Store(&own)
	return true
}

// isOwn reports whether a host, with a port or without, is one of the gateway's names.
func (g *Gateway) isOwn(authority string) bool {
	host, ok := hostOf(authority)
	return ok && (g.hostnames[host] || g.hostnames[strings.ToLower(host)])
}

// hostOf takes the port off a Host or :authority value, and the brackets off an
// address. False for what is not host, or host:port (RFC 9110 section 7.2): such a
// value may mean another host to whoever reads it next.
func hostOf(authority string) (host string, ok bool) {
	host, port := authority, ""
	if end := strings.IndexByte(host, ']'); end > 0 && host[0] == '[' {
		host, port = host[1:end], host[end+1:]
		if strings.IndexByte(host, ':') < 0 {
			return "", false
		}
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		host, port = host[:i], host[i:]
	}
	if port != "" && port[0] != ':' {
		return "", false
	}
	for i := 1; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return "", false
		}
	}
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			return "", false // ToLower knows letters that fold to those of ASCII
		}
	}
	return host, true
}

// originAllowed checks an Origin value: listed as a whole, or naming a host of
// the gateway itself as a page of the web (2025-11-25, basic/transports, Security
// Warning).
func (g *Gateway) originAllowed(origin string) bool {
	origin = strings.ToLower(origin)
	if g.origins[origin] {
		return true
	}
	scheme, host, found := strings.Cut(origin, "://")
	return found && (scheme == "http" || scheme == "https") && g.isOwn(host)
}
