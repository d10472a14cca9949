package client

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"mcp-gateway/test/chaos/check"
)

// Envoy is one that clients may use.
type Envoy struct {
	Name string
	Addr string
	// Runs counts its processes: a new one knows no session.
	Runs atomic.Int64
	// Away is set while the load balancer before the Envoys, which the clients
	// stand for, sends nothing new to it.
	Away atomic.Bool
}

// Server is one behind the gateway. Its tools have its name and an underscore as
// their prefix.
type Server struct {
	Name   string
	Modern bool
	// Runs counts its processes: a new one knows no session.
	Runs atomic.Int64
}

// Env is what all clients share.
type Env struct {
	Envoys  []*Envoy
	Servers []*Server
	Checker *check.Checker
	// Pause is the least time between two calls of one client; 0 is none.
	Pause time.Duration

	last    atomic.Uint64
	clients sync.WaitGroup
	done    chan struct{}
}

// Start starts so many clients of each era.
func (e *Env) Start(legacy, modern int) {
	e.done = make(chan struct{})
	for i := range legacy {
		u := newLegacy(e, fmt.Sprintf("L%d", i), i%2 == 0, i == 0)
		e.clients.Go(u.run)
	}
	for i := range modern {
		u := &modernUser{user: newUser(e, fmt.Sprintf("M%d", i))}
		e.clients.Go(u.run)
	}
}

// Stop has all clients end after the call in hand, and waits for them.
func (e *Env) Stop() {
	close(e.done)
	e.clients.Wait()
}

// next is a number that no other call has.
func (e *Env) next() uint64 { return e.last.Add(1) }

// pick returns any Envoy that is not away, or any at all.
func (e *Env) pick() int {
	at := rand.IntN(len(e.Envoys))
	for i := range e.Envoys {
		if k := (at + i) % len(e.Envoys); !e.Envoys[k].Away.Load() {
			return k
		}
	}
	return at
}

// other returns another Envoy than that, if there is one to use.
func (e *Env) other(than int) int {
	for i := range e.Envoys {
		if i != than && !e.Envoys[i].Away.Load() {
			return i
		}
	}
	return than
}

// choose returns any server of an era.
func (e *Env) choose(modern bool) *Server {
	for {
		if s := e.Servers[rand.IntN(len(e.Servers))]; s.Modern == modern {
			return s
		}
	}
}

// user is what both kinds of clients are.
type user struct {
	env   *Env
	name  string
	conns []*conn // to each Envoy
	side  []*conn // for what is sent while a call is under way
	due   time.Time
}

func newUser(e *Env, name string) user {
	u := user{env: e, name: name, due: time.Now().Add(time.Duration(rand.Int64N(int64(time.Second))))}
	for _, envoy := range e.Envoys {
		u.conns = append(u.conns, &conn{addr: envoy.Addr})
		u.side = append(u.side, &conn{addr: envoy.Addr})
	}
	return u
}

// pause waits for the time of the next call; it reports false at the end.
func (u *user) pause(least time.Duration) bool {
	now := time.Now()
	u.due = u.due.Add(u.env.Pause)
	if wait := max(u.due.Sub(now), least); wait > 0 {
		select {
		case <-u.env.done:
			return false
		case <-time.After(wait):
			return true
		}
	}
	u.due = now
	select {
	case <-u.env.done:
		return false
	default:
		return true
	}
}

// leave closes all connections.
func (u *user) leave() {
	for i := range u.conns {
		u.conns[i].close()
		u.side[i].close()
	}
}
