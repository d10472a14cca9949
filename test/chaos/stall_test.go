package chaos

import (
	"fmt"
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
	// longStall is one that may cost any call: servers get 4 s.
	longStall = time.Second
	// stallAround is how long before and after it calls may suffer of the same.
	stallAround = time.Second
)

// stalls are the times in which the machine did not run what was ready to run.
type stalls struct {
	mu    sync.Mutex
	found []check.Excuse
	worst time.Duration
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
			now := time.Now()
			took := now.Sub(began) - stallEvery
			if took < stallAfter {
				continue
			}
			e := check.Excuse{From: began.Add(-stallAround), To: now.Add(stallAround), Calls: needsBroker, As: late}
			if took > longStall {
				e.Calls = away
			}
			s.mu.Lock()
			s.found = append(s.found, e)
			s.worst = max(s.worst, took)
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *stalls) excuses() []check.Excuse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]check.Excuse(nil), s.found...)
}

func (s *stalls) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d times, for %v at most", len(s.found), s.worst.Round(time.Millisecond))
}

// direct asks a server that no fault is about, past the gateway.
func (w *world) direct() error {
	r, err := http.Get("http://" + w.steady + "/mcp")
	if err != nil {
		return err
	}
	return r.Body.Close()
}
