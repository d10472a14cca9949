package broker

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// Who comes when many sessions are being opened waits for a turn, for as long as
// it is to be expected that it comes, and then is told at once that it does not.
func TestColdStormWaitsForTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		g := newGateway(t, setup{config: config("one")}, map[string]http.Handler{"one": one})
		synctest.Wait()
		var opened, most, now atomic.Int64
		one.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method != "initialize" {
				return false
			}
			opened.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(4 * time.Second)
			now.Add(-1)
			return false
		}
		// Four rounds begin within turnPatience, the rest is refused.
		const rounds, clients = 4, 6
		places := gatewayconfig.DefaultLimits().Openings
		ids := make([]string, clients*places)
		for i := range ids {
			ids[i] = g.open()
		}
		began := time.Now()
		var statuses sync.Map
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() {
				_, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id))
				n, _ := statuses.LoadOrStore(status, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			})
		}
		all.Wait()
		count := func(status int) int64 {
			n, ok := statuses.Load(status)
			if !ok {
				return 0
			}
			return n.(*atomic.Int64).Load()
		}
		if good, busy := count(200), count(429); good != int64(rounds*places) || good+busy != int64(len(ids)) {
			t.Errorf("%d opened, %d refused for now, of %d; want %d opened", good, busy, len(ids), rounds*places)
		}
		if most.Load() != int64(places) || opened.Load() != int64(rounds*places) {
			t.Errorf("%d at one time, %d in all", most.Load(), opened.Load())
		}
		if took := time.Since(began); took > turnPatience+5*time.Second {
			t.Errorf("the last answer came after %v", took)
		}
		// What is open is found without a turn, and who was refused gets one now.
		for _, id := range ids {
			if _, status := g.resolve(fmt.Sprintf(`{"session":%q,"server":"one"}`, id)); status != 200 {
				t.Fatalf("again: %d", status)
			}
		}
		if opened.Load() != int64(len(ids)) {
			t.Errorf("%d sessions opened for %d clients", opened.Load(), len(ids))
		}
	})
}

func TestColdStormHasAQueueWithAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		c := config("one")
		c.Limits.Openings, c.Limits.WaitingOpenings = 1, 1
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		synctest.Wait()
		one.Intercept = func(_ http.ResponseWriter, _ *http.Request, method, _ string) bool {
			if method == "initialize" {
				time.Sleep(time.Second)
			}
			return false
		}
		began := time.Now()
		var all sync.WaitGroup
		var busy atomic.Int64
		for range 3 {
			id := g.open()
			all.Go(func() {
				got := g.inside("POST", "/v1/resolve", fmt.Sprintf(`{"session":%q,"server":"one"}`, id), nil)
				if got.status == 429 {
					busy.Add(1)
					if took := time.Since(began); took > 0 {
						t.Errorf("refused after %v, want at once", took)
					}
				} else if got.status != 200 {
					t.Errorf("resolve: %d %s", got.status, got.body)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if busy.Load() != 1 {
			t.Errorf("%d refused, want 1", busy.Load())
		}
	})
}
