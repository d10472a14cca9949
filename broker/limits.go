package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"sync"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// account is whose sessions and streams are counted together.
type account struct {
	// name is a digest; empty for somebody who cannot be told from others.
	name string
	// anonymous tells that name stands for an address, not for a credential.
	anonymous bool
}

// countedFor returns who a client's request is counted for: who it is, or its
// credential, or without one the address that Envoy has it from. Of IPv6 the network
// counts, as one host has all of it.
func countedFor(c *call) account {
	if of := c.principal(); of != "" {
		return account{name: of}
	}
	address, err := netip.ParseAddr(c.r.Header.Get(mcp.HeaderAddress))
	if err != nil {
		return account{}
	}
	if address = address.Unmap(); address.Is6() {
		network, err := address.WithZone("").Prefix(64)
		if err != nil {
			return account{}
		}
		address = network.Addr()
	}
	sum := sha256.Sum256([]byte("address " + address.String()))
	return account{name: hex.EncodeToString(sum[:]), anonymous: true}
}

// sessionCaps are those for a session of p.
func sessionCaps(l gatewayconfig.Limits, p account) session.Caps {
	return session.Caps{Total: l.Sessions, Principal: choose(p, l.SessionsPerPrincipal, l.SessionsPerAddress)}
}

// choose returns what counts for p of what there is for each kind.
func choose[T any](p account, credential, address T) T {
	if p.anonymous {
		return address
	}
	return credential
}

// The limits that a client can meet here, as they are counted.
const (
	limitSessions        = "sessions"
	limitOwnSessions     = "sessionsPerPrincipal"
	limitAddressSessions = "sessionsPerAddress"
	limitStreams         = "streams"
	limitOwnStreams      = "streamsPerPrincipal"
	limitAddressStreams  = "streamsPerAddress"
	limitSSEClients      = "sseClients"
	limitBody            = "body"
	limitDepth           = "depth"
	limitCalls           = "calls"
	limitWaiting         = "waitingCalls"
	limitPooled          = "pooledSessions"
	limitBridged         = "bridgedSessions"
	limitOpenings        = "waitingOpenings"
)

// counted are all of them.
var counted = []string{
	limitSessions, limitOwnSessions, limitAddressSessions, limitStreams, limitOwnStreams, limitAddressStreams,
	limitSSEClients, limitBody, limitDepth, limitCalls, limitWaiting, limitPooled, limitBridged, limitOpenings,
}

// limits returns those in force.
func (b *Broker) limits() gatewayconfig.Limits { return b.view.Load().limits }

// refuseSession answers who gets no session.
func (b *Broker) refuseSession(c *call, of account, err error) {
	switch {
	case errors.Is(err, session.ErrFull):
		b.metrics.Refused(limitSessions)
		c.failBusy("the gateway has too many sessions")
	case errors.Is(err, session.ErrTooMany):
		b.metrics.Refused(choose(of, limitOwnSessions, limitAddressSessions))
		c.failBusy("too many sessions: end some that are not needed")
	default:
		if errors.Is(err, session.ErrUnavailable) {
			b.metrics.SessionFailed()
		}
		b.failStore(c, err)
	}
}

// tooManyCalls answers a call that would be carried between the eras.
func (b *Broker) tooManyCalls(c *call) {
	b.metrics.Refused(limitCalls)
	c.failLater("too many calls are under way")
}

// openStreams counts the open event streams of clients.
type openStreams struct {
	mu    sync.Mutex
	total int
	of    map[string]int // by principal
}

// enter counts a stream of p until leave is called; met is the limit that it would
// exceed, and leave is nil then. A stream that takes the place of another is let
// in always: that one is about to end.
func (s *openStreams) enter(l gatewayconfig.Limits, p account, instead bool) (leave func(), met string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := choose(p, l.StreamsPerPrincipal, l.StreamsPerAddress)
	switch {
	case instead:
	case l.Streams > 0 && s.total >= l.Streams:
		return nil, limitStreams
	case own > 0 && p.name != "" && s.of[p.name] >= own:
		return nil, choose(p, limitOwnStreams, limitAddressStreams)
	}
	s.total++
	if p.name != "" {
		if s.of == nil {
			s.of = make(map[string]int)
		}
		s.of[p.name]++
	}
	return sync.OnceFunc(func() { s.leave(p) }), ""
}

func (s *openStreams) leave(p account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if p.name == "" {
		return
	}
	if s.of[p.name]--; s.of[p.name] == 0 {
		delete(s.of, p.name)
	}
}

func (s *openStreams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// refuseStream answers who would have one stream too many.
func (b *Broker) refuseStream(c *call, met string) {
	b.metrics.Refused(met)
	if met == limitStreams {
		c.failBusy("the gateway has too many event streams")
		return
	}
	c.failBusy("too many event streams: end some that are not needed")
}
