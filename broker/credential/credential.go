// Package credential gets the tokens that servers are sent: the gateway's own, by
// client credentials (RFC 6749 section 4.4), and those of callers, in exchange for
// the token that they have sent to the gateway (RFC 8693). It keeps them until
// shortly before they expire, in memory only.
package credential

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/internal/gatewayconfig"
)

// ErrNone says that there is no credential for the server now. What it wraps may
// be logged, and is not for clients.
var ErrNone = errors.New("no credential for the server")

// Missing says so to a client.
func Missing(server string) string {
	return "the gateway has no credential of this caller for server " + server
}

// errNoCaller says that nobody is there whose token could be exchanged.
var errNoCaller = errors.New("the server wants a token of the caller, who has sent none")

// Token is what one request carries.
type Token struct {
	// Authorization is the header's value; empty for none. A secret.
	Authorization string
	// Good is how long it may be used without asking again.
	Good time.Duration
}

// Source has the tokens for one server. Safe for concurrent use; the nil Source
// has none.
type Source struct {
	own       *kept  // nil for none
	exchanged *cache // nil for none
}

// Options are what a Source needs besides its server's configuration.
type Options struct {
	// Transport makes the requests to token endpoints.
	Transport http.RoundTripper
	Log       *zap.Logger
	// Asked is called after each of them; nil for nothing to do.
	Asked func(err error)
}

// New returns the Source of a server, nil if it is sent no tokens.
func New(cfg gatewayconfig.Server, o Options) *Source {
	if cfg.OAuth == nil && cfg.Exchange == nil {
		return nil
	}
	log := o.Log.With(zap.String("server", cfg.Name))
	s := &Source{}
	if cfg.OAuth != nil {
		s.own = newKept(newEndpoint(*cfg.OAuth, o), nil, log)
	}
	if cfg.Exchange != nil {
		s.exchanged = newCache(newEndpoint(*cfg.Exchange, o), log)
	}
	return s
}

// Close closes the connections to token endpoints that nobody uses.
func (s *Source) Close() {
	if s == nil {
		return
	}
	if s.own != nil {
		s.own.endpoint.client.CloseIdleConnections()
	}
	if s.exchanged != nil {
		s.exchanged.endpoint.client.CloseIdleConnections()
	}
}

// Of says whose token requests for clients carry.
func (s *Source) Of() gatewayconfig.TokenOf {
	switch {
	case s == nil:
		return ""
	case s.exchanged != nil:
		return gatewayconfig.TokenCaller
	}
	return gatewayconfig.TokenGateway
}

// Own returns the token of a request that the broker makes for itself. The zero
// Token if there is none to be sent. The error is ErrNone or that of ctx.
func (s *Source) Own(ctx context.Context) (Token, error) {
	if s == nil || s.own == nil {
		return Token{}, nil
	}
	return s.own.token(ctx)
}

// For is Own for a request that is made for a caller.
func (s *Source) For(ctx context.Context, c *Caller) (Token, error) {
	if s == nil || s.exchanged == nil {
		return s.Own(ctx)
	}
	k, err := s.exchanged.of(c)
	if err != nil {
		return Token{}, err
	}
	return k.token(ctx)
}

// Refused tells that the server has answered 401 to a request with the token. It
// reports whether another one may help, which the next call gets then: not if
// this one was new.
func (s *Source) Refused(authorization string, c *Caller, own bool) bool {
	switch {
	case s == nil || authorization == "":
		return false
	case own || s.exchanged == nil:
		return s.own != nil && s.own.drop(authorization)
	}
	k, err := s.exchanged.of(c)
	return err == nil && k.drop(authorization)
}

// Caller is on whose behalf a request is made.
type Caller struct {
	// Token is what it has sent to the gateway as bearer token; empty for none. A
	// secret.
	Token string
	// Header are headers that it has sent which may go on to a server.
	Header http.Header
}

// digest is what a token is found by.
func (c *Caller) digest() [sha256.Size]byte { return sha256.Sum256([]byte(c.Token)) }

type callerKey struct{}

// With returns a context whose requests are made for the caller.
func With(ctx context.Context, c *Caller) context.Context {
	if c == nil {
		return ctx
	}
	return WithLatest(ctx, func() *Caller { return c })
}

// WithLatest is With for what outlives a request: latest returns the caller as it
// was seen last, nil for none.
func WithLatest(ctx context.Context, latest func() *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, latest)
}

// From returns the caller of a context, nil for none.
func From(ctx context.Context) *Caller {
	if latest, ok := ctx.Value(callerKey{}).(func() *Caller); ok {
		return latest()
	}
	return nil
}

// Times of tokens.
const (
	// assumed is how long a token is good that does not say.
	assumed = 5 * time.Minute
	// longest is how long a token is kept, and given out, at most.
	longest, longestGood = 24 * time.Hour, 5 * time.Minute
	// renewBefore and unusedBefore are how long before its end a token is replaced,
	// and not used any more: a fifth and a tenth of its life, if that is less.
	renewBefore, unusedBefore = time.Minute, 10 * time.Second
	// young is how old a token must be for another one to help where it was refused.
	young = 5 * time.Second
)

// issued is a token with its times.
type issued struct {
	authorization   string
	at, renew, ends time.Time
}

func newIssued(authorization string, now time.Time, life time.Duration) issued {
	life = min(cmp.Or(life, assumed), longest)
	ends := now.Add(life)
	return issued{authorization, now, ends.Add(-min(renewBefore, life/5)), ends.Add(-min(unusedBefore, life/10))}
}

// given returns the token as it is given out at a time before its end.
func (i *issued) given(now time.Time) Token {
	good := i.renew.Sub(now)
	if good <= 0 {
		good = min(i.ends.Sub(now), time.Second) // a new one is on its way
	}
	return Token{i.authorization, min(good, longestGood)}
}
