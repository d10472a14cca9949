package gateway

import (
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
)

// Limits bound what clients and servers can make the gateway hold. Sizes are
// bytes.
type Limits struct {
	gatewayconfig.Limits
	// Response is the largest JSON answer that is held back to rewrite what is in
	// it; a larger one leaves as it is.
	Response int64
	// HeaderSize bounds the headers of a request in all, in whole KiB; Headers is
	// how many there may be.
	HeaderSize int64
	Headers    int
	// Servers is how many may be enabled.
	Servers int
	// Questions is how many requests in one Envoy may wait for an answer of the
	// broker about where to go.
	Questions int
}

// DefaultLimits hold where nothing is declared.
func DefaultLimits() Limits {
	return Limits{
		Limits:     gatewayconfig.DefaultLimits(),
		Response:   16 << 20,
		HeaderSize: 60 << 10,
		Headers:    100,
		Servers:    1000,
		Questions:  8192,
	}
}

// Bounds of the limits themselves.
const (
	minSize, maxSize       = 1 << 10, 1 << 30 // bytes
	minDepth               = 8                // messages of the protocol itself are so deep
	maxHeaderSize          = 8192 << 10       // Envoy's
	minHeaders, maxHeaders = 20, 1000
	maxCount               = 100_000_000
	// minQuestions is more than the streams that clients have left and of which a
	// worker of Envoy has not yet told the filter: they count as long.
	minQuestions = 64
	// sparse is where the shares that a store in Redis gives to the parts of a
	// total get so small that it may be full well before the total is reached.
	sparse = 10_000
)

func (v *validation) limits(g *Gateway) {
	l, usual := &g.Limits, DefaultLimits()
	v.size("limits.body", l.Body)
	v.size("limits.response", l.Response)
	v.size("limits.event", l.Event)
	v.between("limits.depth", l.Depth, minDepth, jsonrpc.MaxDepth)
	if l.HeaderSize < minSize || l.HeaderSize > maxHeaderSize || l.HeaderSize%1024 != 0 {
		v.errorf("limits.headerSize", "%d bytes: want 1KiB to 8MiB in whole KiB", l.HeaderSize)
	}
	v.between("limits.headers", l.Headers, minHeaders, maxHeaders)
	v.between("limits.sessions", l.Sessions, 0, maxCount)
	v.part("limits.sessionsPerPrincipal", l.SessionsPerPrincipal, usual.SessionsPerPrincipal, "limits.sessions", l.Sessions)
	v.part("limits.sessionsPerAddress", l.SessionsPerAddress, usual.SessionsPerAddress, "limits.sessions", l.Sessions)
	v.between("limits.streams", l.Streams, 0, maxCount)
	v.part("limits.streamsPerPrincipal", l.StreamsPerPrincipal, usual.StreamsPerPrincipal, "limits.streams", l.Streams)
	v.part("limits.streamsPerAddress", l.StreamsPerAddress, usual.StreamsPerAddress, "limits.streams", l.Streams)
	if l.Sessions > 0 && l.Sessions < sparse && g.Sessions.Store != StoreMemory && g.Sessions.Store != StoreToken {
		v.warnf("limits.sessions", "in Redis each part of the store has its share, so that with less than %d new sessions may be refused at some 80 %%", sparse)
	}
	v.between("limits.sseClients", l.SSEClients, 1, maxCount)
	v.between("limits.servers", l.Servers, 1, maxCount)
	v.between("limits.itemsPerServer", l.ItemsPerServer, 1, gatewayconfig.MostItems)
	v.between("limits.questions", l.Questions, minQuestions, maxCount)
	v.between("limits.pooledSessions", l.PooledSessions, 1, maxCount)
	v.part("limits.pooledSessionsPerServer", l.PooledSessionsPerServer, usual.PooledSessionsPerServer, "limits.pooledSessions", l.PooledSessions)
	v.between("limits.pooledSessionsPerServer", l.PooledSessionsPerServer, 1, maxCount)
	v.between("limits.calls", l.Calls, 1, maxCount)
	v.part("limits.waitingCalls", l.WaitingCalls, usual.WaitingCalls, "limits.calls", l.Calls)
	v.between("limits.waitingCalls", l.WaitingCalls, 1, maxCount)
	v.between("limits.bridgedSessions", l.BridgedSessions, 1, maxCount)
	v.between("limits.openings", l.Openings, 1, maxCount)
	v.between("limits.waitingOpenings", l.WaitingOpenings, 1, maxCount)
	if n := len(g.EnabledServers()); n > l.Servers {
		v.errorf("servers", "%d are enabled, more than limits.servers (%d) admits", n, l.Servers)
	}
}

func (v *validation) size(path string, n int64) {
	if n < minSize || n > maxSize {
		v.errorf(path, "%d bytes: want 1KiB to 1GiB", n)
	}
}

func (v *validation) between(path string, n, least, most int) {
	if n < least || n > most {
		v.errorf(path, "%d: want %d to %d", n, least, most)
	}
}

// part checks a limit that is part of another one. The usual value is no wish of
// anybody's, and nothing to warn of.
func (v *validation) part(path string, n, usual int, of string, total int) {
	v.between(path, n, 0, maxCount)
	if total > 0 && n > total && n != usual {
		v.warnf(path, "%d has no effect: %s (%d) is less", n, of, total)
	}
}
