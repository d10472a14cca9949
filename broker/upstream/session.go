package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// restorings is how many subscriptions of one session are told at once.
const restorings = 8

// ErrNoSessions says that the server speaks stateless revisions only.
var ErrNoSessions = errors.New("the server speaks no revision with sessions")

// Session is a session that OpenSession opened for a client. The ID is empty
// for a server without sessions. With a stateless revision as its Version it
// stands for no session: what is sent in it carries its own _meta.
type Session struct {
	ID      string
	Version mcp.Revision
}

// Client is who a session is opened for.
type Client struct {
	// Version is the revision to offer.
	Version mcp.Revision
	// Info and Capabilities are raw JSON objects: clientInfo, the gateway's own
	// if empty, and what is declared to the server, nothing if empty.
	Info, Capabilities json.RawMessage
	// Level and Subscriptions (URIs of the server) are what the client has set
	// before, for a server that declares logging and resources.subscribe. Empty
	// for none.
	Level         string
	Subscriptions []string
}

// OpenSession opens a session for a client of the gateway, and tells the server
// what the client has set. What the server refuses of that is left out: a
// resource may be gone. End the session with EndSession. The error is
// ErrNoSessions for a server that was found to have none, ErrBusy if too many
// wait for a turn.
func (s *Server) OpenSession(ctx context.Context, c Client) (Session, error) {
	turn, err := s.Turn(ctx)
	if err != nil {
		return Session{}, err
	}
	defer turn.Leave()
	return s.OpenInTurn(ctx, c)
}

// OpenInTurn is OpenSession for who has a Turn.
func (s *Server) OpenInTurn(ctx context.Context, c Client) (opened Session, err error) {
	defer rescue.From(s.log, &err)
	if now := s.Snapshot(); now.Modern && !now.Legacy {
		return Session{}, ErrNoSessions
	}
	as := self{offer: c.Version, info: c.Info, capabilities: c.Capabilities, shared: true}
	if len(as.info) == 0 {
		as.info = s.info
	}
	if len(as.capabilities) == 0 {
		as.capabilities = none
	}
	l, h, err := s.client.open(ctx, as)
	if err != nil {
		s.doubted.Store(!transient(err) && ctx.Err() == nil)
		s.Recheck()
		return Session{}, err
	}
	if refused := s.restore(ctx, l, h, c); refused > 0 {
		s.log.Warn("server does not take over all of what its client has set", zap.Int("refused", refused))
	}
	return Session{l.id, l.version}, nil
}

// restore tells the server what the client has set, and returns how much of it
// the server refused or was not told within the time of one request.
func (s *Server) restore(ctx context.Context, l *link, h hello, c Client) (refused int) {
	if !h.subscribe {
		c.Subscriptions = nil
	}
	if c.Level == "" || !h.logging {
		if len(c.Subscriptions) == 0 {
			return 0
		}
		c.Level = ""
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if c.Level != "" {
		if _, err := l.call(ctx, mcp.MethodSetLevel, member(`{"level":`, c.Level)); err != nil {
			refused++
		}
	}
	var wg sync.WaitGroup
	var next, done atomic.Int64
	for range min(restorings, len(c.Subscriptions)) {
		wg.Go(func() {
			defer rescue.From(s.log, new(error))
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(c.Subscriptions) {
					return
				}
				if _, err := l.call(ctx, mcp.MethodResourcesSubscribe, member(`{"uri":`, c.Subscriptions[i])); err == nil {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return refused + len(c.Subscriptions) - int(done.Load())
}

// member closes an object that open begins with a string as its last value.
func member(open, value string) []byte {
	return append(jsonrpc.AppendQuote([]byte(open), []byte(value)), '}')
}

// EndSession ends a session that OpenSession opened.
func (s *Server) EndSession(ctx context.Context, of Session) (err error) {
	defer rescue.From(s.log, &err)
	return s.of(of).end(ctx)
}

// of returns the link of a client's session.
func (s *Server) of(session Session) *link {
	return &link{client: s.client, peer: peer{session.ID, session.Version}, shared: true}
}

// Answer is the outcome of a request, raw JSON: a result, or an error object.
type Answer struct {
	Result, Error []byte
}

// Request sends a request in a client's session, under an id that no client
// uses. params is raw JSON, nil for none. The error is ErrSessionGone, or says
// why there is no answer; an error that the server answers with is an Answer.
func (s *Server) Request(ctx context.Context, in Session, method string, params []byte) (answer Answer, err error) {
	defer rescue.From(s.log, &err)
	got, err := s.of(in).call(ctx, method, params)
	if refused, ok := errors.AsType[*rpcError](err); ok && refused.raw != nil {
		return Answer{Error: refused.raw}, nil
	}
	return Answer{Result: got.result}, err
}

// Tell sends a notification, or an answer, in a client's session: one JSON-RPC
// message as it is, once.
func (s *Server) Tell(ctx context.Context, in Session, message []byte) (err error) {
	defer rescue.From(s.log, &err)
	select {
	case s.telling <- struct{}{}:
		defer func() { <-s.telling }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a free place to notify: %w", context.Cause(ctx))
	}
	return s.of(in).deliver(ctx, outgoing{verb: http.MethodPost, accept: typeBoth, body: message, once: true})
}
