package session

import (
	"context"
	"sync"
)

// backlog is how many invalidations wait for a slow receiver before they
// collapse into one Flush.
const backlog = 256

// Broadcast hands invalidations to the subscribers in one process: what
// Store.Invalidations promises, for stores to build on. The zero value is ready.
type Broadcast struct {
	mu   sync.Mutex
	subs map[chan Invalidation]struct{}
}

// Subscribe returns a channel that is closed when ctx ends. It holds first, if
// any, before whatever is published.
func (b *Broadcast) Subscribe(ctx context.Context, first ...Invalidation) <-chan Invalidation {
	ch := make(chan Invalidation, backlog)
	b.mu.Lock()
	for _, inv := range first {
		offer(ch, inv)
	}
	if b.subs == nil {
		b.subs = make(map[chan Invalidation]struct{})
	}
	b.subs[ch] = struct{}{}
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, ch)
		close(ch)
	})
	return ch
}

// Publish sends inv to every subscriber and never blocks.
func (b *Broadcast) Publish(inv Invalidation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.subs {
		offer(ch, inv)
	}
}

// offer is called under the lock, so it is the only sender: once it has emptied
// the channel, there is room.
func offer(ch chan Invalidation, inv Invalidation) {
	select {
	case ch <- inv:
		return
	default:
	}
	for {
		select {
		case <-ch:
		default:
			ch <- Invalidation{Flush: true}
			return
		}
	}
}
