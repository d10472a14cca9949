package integrity

import (
	"context"
	"reflect"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/internal/pin"
)

const (
	// reload is how often what is trusted is read anew, in case news was lost.
	reload = 5 * time.Minute
	// patience bounds one operation of the store.
	patience = 10 * time.Second

	// mostFailed is how many operations in a row may fail before the rest waits: the
	// store is the same for all servers.
	mostFailed = 3

	retryMin = 200 * time.Millisecond
	retryMax = 10 * time.Second
)

// Run reads and writes what is trusted until ctx ends. While the store is away
// what was known stays.
func (k *Keeper) Run(ctx context.Context) {
	var changes <-chan string
	if k.o.Shared != nil {
		changes = k.o.Shared.Changes(ctx)
	}
	tick := time.NewTicker(reload)
	defer tick.Stop()
	retry := backoff.Backoff{Min: retryMin, Max: retryMax}
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case name, ok := <-changes:
			if !ok {
				changes = nil
				continue
			}
			k.expire(name)
		case <-tick.C:
			k.expire("")
		case <-again.C:
		}
		if k.step(ctx) {
			retry.Reset()
			continue
		}
		again.Reset(retry.Next())
	}
}

// expire has the pins of a server read anew, of all without a name. A store that
// is not shared has no other writers.
func (k *Keeper) expire(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store == nil || k.store != k.o.Shared {
		return
	}
	for n, s := range k.servers {
		s.load = s.load || name == "" || n == name
	}
}

// task is what is due for a server.
type task struct {
	name  string
	store Store
	load  bool
	first pin.Set
	trust map[pin.Item]pin.Entry
}

// step does what is due, and reports whether all of it was done.
func (k *Keeper) step(ctx context.Context) bool {
	done, changed, failed := true, false, 0
	for _, t := range k.tasks() {
		set, err := t.do(ctx)
		if ctx.Err() != nil {
			return true
		}
		if failed++; err == nil {
			failed = 0
		}
		done = done && err == nil
		if failed > mostFailed {
			break
		}
		changed = k.settle(&t, set, err) || changed
	}
	if changed {
		k.o.Changed()
	}
	return done
}

// tasks are in no order, so that none waits for the same others each time.
func (k *Keeper) tasks() []task {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []task
	if k.store == nil {
		return nil
	}
	for name, s := range k.servers {
		if s.load || s.first != nil || s.trust != nil {
			out = append(out, task{name, k.store, s.load, s.first, s.trust})
		}
	}
	return out
}

func (t *task) do(ctx context.Context) (pin.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if t.first != nil {
		if err := t.store.First(ctx, t.name, t.first); err != nil {
			return nil, err
		}
	}
	if t.trust != nil {
		if err := t.store.Put(ctx, t.name, t.trust); err != nil {
			return nil, err
		}
	}
	return t.store.Load(ctx, t.name)
}

// settle takes in what was done, and reports whether verdicts may be others now.
func (k *Keeper) settle(t *task, set pin.Set, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.servers[t.name]
	if s == nil || k.store != t.store {
		return false
	}
	log := k.o.Log.With(zap.String("server", t.name))
	if err != nil {
		if !s.failed {
			log.Warn("what was trusted of the server cannot be read or kept, it is tried again", zap.Bool("known", s.known), zap.Error(err))
		}
		s.failed = true
		return false
	}
	if s.failed {
		log.Info("what was trusted of the server can be read again")
	}
	s.failed, s.load = false, false
	if t.first != nil {
		if n := len(t.first.Items()); n > 0 {
			log.Info("definitions are trusted as they were seen first", zap.Int("items", n))
		}
		s.first = nil // what has come meanwhile is judged anew
	}
	if reflect.DeepEqual(s.trust, t.trust) {
		s.trust = nil
	}
	if s.known && t.first == nil && reflect.DeepEqual(s.pins, set) {
		return false
	}
	s.pins, s.known = set, true
	k.judged = nil
	return true
}
