package chaos

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"mcp-gateway/test/chaos/check"
)

const (
	// stallAfter is how late a request from here to a server that nothing is wrong
	// with may be answered. Redis gets less than a second: where the machine takes
	// so long for nothing, it says more about the machine than about the gateway.
	stallAfter = 250 * time.Millisecond
	stallEvery = 50 * time.Millisecond
	// stallAround is how long before and after it calls may suffer of the same.
	stallAround = time.Second
)

// stalls are the times in which the machine did not run what was ready to run.
type stalls struct {
	mu    sync.Mutex
	found []check.Excuse
}

// watchStalls sends a request at short intervals until the test ends.
func watchStalls(t *testing.T, send func() error) *stalls {
	s := &stalls{}
	go func() {
		for t.Context().Err() == nil {
			began := time.Now()
			wait(t, stallEvery)
			if err := send(); err != nil {
				continue
			}
			if now := time.Now(); now.Sub(began) > stallEvery+stallAfter {
				s.mu.Lock()
				s.found = append(s.found, check.Excuse{From: began.Add(-stallAround), To: now.Add(stallAround), Calls: needsBroker, As: late})
				s.mu.Unlock()
			}
		}
	}()
	return s
}

func (s *stalls) excuses() []check.Excuse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]check.Excuse(nil), s.found...)
}

// direct asks a server that no fault is about, past the gateway.
func (w *world) direct() error {
	r, err := http.Get("http://" + w.steady + "/mcp")
	if err != nil {
		return err
	}
	return r.Body.Close()
}
