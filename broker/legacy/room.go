package legacy

import (
	"context"
	"slices"
	"sync"
)

// shares is into how many parts a room is divided at least: nobody takes up more
// than one of them.
const shares = 4

// room is what clients may take up together, in bytes, and what each of them may,
// by its name. Who has none is not told from others, and has no share to keep to.
type room struct {
	mu    sync.Mutex
	free  int64
	share int64
	of    map[string]int64 // by name; what nobody holds is not in it
	queue []*claim
}

// claim is one that waits for room.
type claim struct {
	name    string
	size    int64
	granted chan struct{}
}

func newRoom(size int64) room {
	return room{free: size, share: size / shares, of: map[string]int64{}}
}

// take reports whether there was room for n bytes, which are then taken.
func (r *room) take(name string, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.grant(name, n)
}

// await takes n bytes, which must be no more than a share, as soon as there is room
// for them, in the order of those who ask; false if ctx ends before. Whoever waits
// here must hold nothing that another one needs to give back what it has.
func (r *room) await(ctx context.Context, name string, n int64) bool {
	r.mu.Lock()
	c := &claim{name: name, size: n, granted: make(chan struct{})}
	r.queue = append(r.queue, c)
	r.serve()
	r.mu.Unlock()
	select {
	case <-c.granted:
		return true
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.queue, c); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
	} else {
		r.put(name, n)
	}
	r.serve()
	return false
}

// give gives back what was taken.
func (r *room) give(name string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(name, n)
	r.serve()
}

// serve grants what fits now. Who is beyond its share holds up nobody; who needs
// more than is free is not overtaken by those who need less. Called under mu.
func (r *room) serve() {
	for i := 0; i < len(r.queue); {
		c := r.queue[i]
		switch {
		case r.exceeds(c.name, c.size):
			i++
		case r.grant(c.name, c.size):
			r.queue = slices.Delete(r.queue, i, i+1)
			close(c.granted)
		default:
			return
		}
	}
}

// exceeds reports whether n bytes more are too many for one name.
func (r *room) exceeds(name string, n int64) bool {
	return name != "" && r.of[name]+n > r.share
}

func (r *room) grant(name string, n int64) bool {
	if n > r.free || r.exceeds(name, n) {
		return false
	}
	r.free -= n
	if name != "" {
		r.of[name] += n
	}
	return true
}

func (r *room) put(name string, n int64) {
	r.free += n
	if name == "" {
		return
	}
	if r.of[name] -= n; r.of[name] == 0 {
		delete(r.of, name)
	}
}
