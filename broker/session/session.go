// Package session is the contract for client sessions and for the backend
// sessions that belong to them. A client session lives from initialize to
// DELETE or expiry; for each server that it uses it owns at most one backend
// session, opened on first use, whichever replica of the broker that use meets.
//
// The package holds the types, the Store interface, and Opener, which runs the
// claim protocol of a Store. The stores are in memory and redis; sessiontest
// checks that both keep the contract. Nothing here speaks MCP or HTTP.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcp-gateway/internal/mcp"
)

var (
	// ErrNotFound says that there is no live session under the id: unknown,
	// deleted, idle for too long or at the end of its lifetime. Clients get 404.
	ErrNotFound = errors.New("session not found")
	// ErrExists says that another session already has the id.
	ErrExists = errors.New("session exists")
	// ErrFull says that the store is at its bound and takes no new session. Clients
	// get 429.
	ErrFull = errors.New("session store is full")
	// ErrTooMany says that the principal has as many sessions as it may have.
	// Clients get 429.
	ErrTooMany = errors.New("principal has too many sessions")
	// ErrUnavailable says that the store cannot answer now. Whether a write took
	// effect is then unknown. Clients get 503 and may try again.
	ErrUnavailable = errors.New("session store is unavailable")
	// ErrTooMuch says that the session keeps no more settings: MaxSubscriptions
	// or LongestURI is reached. Nothing has changed.
	ErrTooMuch = errors.New("session keeps no more subscriptions")
	// ErrTooLarge says that a message is larger than LargestMessage, or that a
	// session does not fit where the store keeps it.
	ErrTooLarge = errors.New("too large for the session store")
)

// Bounds on what a client makes a store keep.
const (
	MaxSubscriptions = 1000
	LongestURI       = 4 << 10 // bytes
)

// LargestMessage bounds what Store.Send takes, in bytes.
const LargestMessage = 1 << 20

// Session is what initialize settled. It never changes.
type Session struct {
	ID ID
	// Version is the revision negotiated with the client.
	Version mcp.Revision
	// ClientInfo and Capabilities are params.clientInfo and params.capabilities
	// of initialize, byte for byte; empty if absent. Treat them as read-only.
	ClientInfo   json.RawMessage
	Capabilities json.RawMessage
	// Endpoint is the view that the session was opened at, a name without spaces;
	// empty for the gateway's own endpoint. It is not found at any other.
	Endpoint string
	// Principal binds the session to a caller; empty for none. The store keeps
	// it as given and compares nothing: pass a digest where it is a secret.
	Principal string
}

// Caps bound the sessions that are live at one time; 0 means no bound. They
// come with each Create, so that a new configuration counts at once.
type Caps struct {
	// Total is for all sessions. A store that is spread over many places may
	// give each of them its share, and be full a little earlier.
	Total int
	// Principal is for the sessions of the same Session.Principal, unless that is
	// empty.
	Principal int
}

// Backend is a session that the gateway holds at a server.
type Backend struct {
	// ID is the server's Mcp-Session-Id; empty for a server without sessions.
	ID string
	// Version is the revision negotiated with the server. It holds no colon.
	Version mcp.Revision
}

// Held is a backend session with the place of its server (gatewayconfig.Server.Place).
type Held struct {
	Server  string
	Backend Backend
}

// Settings are what a client has set in its session, for a server to be told
// anew with each backend session. They end with the session.
type Settings struct {
	// Level is the log level as in logging/setLevel; empty if none was set.
	Level string
	// Subscriptions are in no order, none of them twice.
	Subscriptions []Subscription
}

// Subscription is a resource that a client wants to hear of.
type Subscription struct {
	Server string
	// URI is the server's own, without a label.
	URI string
}

// Ended is a session that expired, with the backend sessions that outlived it.
// Stores do not know plain ids, hence the Key.
type Ended struct {
	Key      Key
	Backends []Held
}

// State is the answer to a claim.
type State uint8

const (
	// Gone: no live session under the id.
	Gone State = iota
	// Have: the backend session exists, in Claim.Backend.
	Have
	// Wait: another caller is opening it; its lease ends after Claim.Wait.
	Wait
	// Claimed: the caller opens it and then calls Commit or Abandon with
	// Claim.Token.
	Claimed
)

// Token names one claim. Opaque.
type Token string

// Claim is what a caller of Store.Claim has to do next.
type Claim struct {
	State   State
	Backend Backend
	Wait    time.Duration
	Token   Token
}

// Invalidation tells a holder of copies what it must forget or look up anew.
type Invalidation struct {
	// Flush: news was lost, every copy may be stale. The rest is then empty.
	Flush bool
	// Key is the session. With an empty Server it ended, and all of it goes.
	Key Key
	// Server is the one whose backend session was dropped or, with Opened,
	// opened. No server has an empty name.
	Server string
	Opened bool
}

// Timeouts bound the life of sessions.
type Timeouts struct {
	// Idle ends a session that nobody uses. Get and Claim are uses. A use moves
	// the deadline only when less than half of Idle is left, so that most uses
	// write nothing: a session ends between Idle/2 and Idle after its last use.
	Idle time.Duration
	// Lifetime ends a session however much it is used. Counted from Create.
	Lifetime time.Duration
}

// Validate reports whether both bounds are at least a millisecond, the
// resolution of a store.
func (t Timeouts) Validate() error {
	var errs []error
	if t.Idle < time.Millisecond {
		errs = append(errs, fmt.Errorf("idle timeout %v: want at least 1ms", t.Idle))
	}
	if t.Lifetime < time.Millisecond {
		errs = append(errs, fmt.Errorf("lifetime %v: want at least 1ms", t.Lifetime))
	}
	return errors.Join(errs...)
}

// Store keeps sessions. Any number of replicas use one store at a time; every
// method is safe for concurrent use and takes effect as a whole or not at all.
//
// Errors: a store that cannot be reached answers ErrUnavailable, wrapped, and
// within a second. A call whose context ended first returns the context's
// error, wrapped. Everything may be called again after either; the comments
// say where the second answer can differ from the one that was lost.
//
// Secrecy: a store keeps Key, never ID. Who reads the store learns no id that
// the gateway would accept.
//
// Expiry: a session at its deadline is not found from that moment on, although
// its record stays until Expired hands it out. All handles on one store share
// one clock, the store's.
type Store interface {
	// Mint returns an id for s, for Create: by chance, or one that holds s.
	// ErrTooLarge if s does not fit.
	Mint(s Session) (ID, error)

	// Create adds s. ErrFull and ErrTooMany if there is no room within caps: what
	// has expired takes none, and callers at the same time get no more than there
	// is. ErrExists if another session has the id. The same session again is no
	// error and changes nothing, so a caller that lost the answer may repeat the
	// call. See Begin, which chooses the id.
	Create(ctx context.Context, s Session, caps Caps) error

	// Get returns the session and counts as a use of it. ErrNotFound.
	Get(ctx context.Context, id ID) (Session, error)

	// Delete ends the session and returns the backend sessions, in no order,
	// that the caller must end at their servers. Of several callers one gets
	// them, the others ErrNotFound. An answer that is lost on the way is not
	// repeated: the servers' own timeouts end those backend sessions. Claims
	// under way lose their Commit.
	Delete(ctx context.Context, id ID) ([]Held, error)

	// Claim asks for the backend session of (id, server) and counts as a use of
	// the session. At most one caller holds a claim; it is worth lease, then
	// the next caller gets it. A session that is not there is State Gone and no
	// error.
	Claim(ctx context.Context, id ID, server string, lease time.Duration) (Claim, error)

	// Renew makes the caller's claim worth lease from now on, even one that had
	// lapsed while nobody else asked. False if it is no longer the caller's, or the
	// session has ended: what it opens will be lost.
	Renew(ctx context.Context, id ID, server string, t Token, lease time.Duration) (bool, error)

	// Commit records b as the backend session under the claim. False means lost:
	// the session ended, or the lease did and somebody else holds the claim or
	// has committed. The caller then ends b at the server itself. The same
	// Commit again answers the same while nothing else happened.
	Commit(ctx context.Context, id ID, server string, t Token, b Backend) (bool, error)

	// Abandon gives the claim back, so that the next caller may claim at once.
	// Of no effect if the claim is no longer the caller's.
	Abandon(ctx context.Context, id ID, server string, t Token) error

	// Drop forgets the backend session if it is still the one called stale (the
	// server answered 404 to it), so that late news about an old one cannot end
	// its successor. Of no effect otherwise.
	Drop(ctx context.Context, id ID, server string, stale string) error

	// Backends returns the backend sessions that are open now, in no order.
	// ErrNotFound. It is no use of the session.
	Backends(ctx context.Context, id ID) ([]Held, error)

	// Settings returns what the client has set, nothing at first. ErrNotFound.
	Settings(ctx context.Context, id ID) (Settings, error)

	// SetLevel sets Settings.Level and counts as a use. ErrNotFound.
	SetLevel(ctx context.Context, id ID, level string) error

	// Subscribe adds to Settings.Subscriptions and counts as a use; added is
	// false if it was there. A repeated call after a lost answer may say so
	// falsely. ErrNotFound, ErrTooMuch.
	Subscribe(ctx context.Context, id ID, s Subscription) (added bool, err error)

	// Unsubscribe takes it out again and counts as a use. One that is not there
	// is no error. ErrNotFound.
	Unsubscribe(ctx context.Context, id ID, s Subscription) error

	// Expired removes up to limit expired sessions and hands them out, each to
	// one caller only. Call it until it returns fewer than limit. As with
	// Delete, what was handed out in a lost answer is not handed out again. An
	// error may come with sessions; both count.
	Expired(ctx context.Context, limit int) ([]Ended, error)

	// Invalidations reports what ended, was dropped or opened, by any replica,
	// this one included, until ctx ends; then the channel is closed. The first value is a
	// Flush: from then on the channel knows of everything, until it says so
	// again after a gap, or because the receiver was too slow. Delivery is not
	// instant: a copy needs a bound on its age besides.
	Invalidations(ctx context.Context) <-chan Invalidation

	// Send hands message, any bytes, to everybody who listens to mailbox now, and
	// forgets it: nobody else ever gets it, and who is too slow may not either.
	// delivered is false if certainly nobody got it; where that cannot be known,
	// as in a Redis Cluster, it is true. ErrTooLarge.
	Send(ctx context.Context, mailbox string, message []byte) (delivered bool, err error)

	// Mail listens to mailbox until ctx ends; then the channel is closed. It may
	// take a while to begin, and what is sent before, or while the store is away,
	// is lost. The empty mailbox is the one that all replicas listen to. Receive
	// without delay.
	Mail(ctx context.Context, mailbox string) <-chan []byte
}
