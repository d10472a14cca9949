package broker

import (
	"sync"
	"time"
)

// startupWait bounds how long requests wait after the first configuration for
// all servers to be tried once. Who comes in that moment, perhaps with a session
// from before, should not see half a list.
const startupWait = 3 * time.Second

// startup tells how far the broker has come. Each channel is closed once and for
// good.
type startup struct {
	// ready: every server was tried once.
	ready     chan struct{}
	markReady func()
	// settled: ready, or the grace after the first configuration is over.
	settled    chan struct{}
	markSettle func()
	// beginGrace starts the grace, once.
	beginGrace func()
}

func newStartup() startup {
	s := startup{ready: make(chan struct{}), settled: make(chan struct{})}
	s.markSettle = sync.OnceFunc(func() { close(s.settled) })
	s.markReady = sync.OnceFunc(func() {
		close(s.ready)
		s.markSettle()
	})
	s.beginGrace = sync.OnceFunc(func() { time.AfterFunc(startupWait, s.markSettle) })
	return s
}

// isReady reports whether every server was tried once. It stays so: a server
// that fails later, or is added, is no reason to take a broker out of service.
func (s *startup) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// started waits until the gateway knows what it offers, though not for long, and
// brings the call's view up to date. False means that there is no configuration.
func (b *Broker) started(c *call) bool {
	select {
	case <-b.settled:
	default:
		timer := time.NewTimer(startupWait)
		defer timer.Stop()
		select {
		case <-b.settled:
		case <-timer.C:
		case <-c.r.Context().Done():
		}
	}
	// Even without a wait: it may have ended just after the call took its view.
	c.view = b.view.Load()
	return c.view.configured
}
