package golang

import (
	"strings"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
)

// buffer is a chunk in Envoy's list. Only the worker, or the one goroutine that the
// worker waits for, touches it.
type buffer struct {
	api.BufferInstance
	side *side
	data []byte
}

func (b *buffer) listed(call string) bool {
	for _, c := range b.side.chunks {
		if c == b {
			return b.side.inGo(call)
		}
	}
	b.side.e.t.Errorf("%s of a buffer that Envoy has let go", call)
	return false
}

func (b *buffer) Len() int { return len(b.data) }
func (b *buffer) Bytes() []byte {
	if !b.listed("Bytes") || len(b.data) == 0 {
		return nil
	}
	return append([]byte(nil), b.data...)
}
func (b *buffer) Set(data []byte) error {
	if b.listed("Set") {
		b.data = append([]byte(nil), data...)
	}
	return nil
}

// headerMap is Envoy's, in order.
type headerMap struct {
	api.RequestHeaderMap
	side  *side
	pairs [][2]string
}

func (h *headerMap) usable(call string) bool {
	if !h.side.inGo(call) {
		return false
	}
	if !h.side.open {
		h.side.e.t.Errorf("%s of headers that have gone on", call)
	}
	return h.side.open
}

func (h *headerMap) Range(f func(name, value string) bool) {
	if !h.usable("Range") {
		return
	}
	for _, p := range h.pairs {
		if !f(p[0], p[1]) {
			return
		}
	}
}

func (h *headerMap) GetRaw(name string) string {
	if !h.usable("GetRaw") {
		return ""
	}
	for _, p := range h.pairs {
		if p[0] == name {
			return p[1]
		}
	}
	return ""
}

func (h *headerMap) Values(name string) []string {
	if !h.usable("Values") {
		return nil
	}
	return h.all(name)
}

func (h *headerMap) Set(name, value string) {
	if !h.usable("Set") {
		return
	}
	h.side.e.do(func() {
		h.remove(name)
		h.pairs = append(h.pairs, [2]string{name, value})
	})
}

func (h *headerMap) Del(name string) {
	if h.usable("Del") {
		h.side.e.do(func() { h.remove(name) })
	}
}

func (h *headerMap) remove(name string) {
	var kept [][2]string
	for _, p := range h.pairs {
		if p[0] != name {
			kept = append(kept, p)
		}
	}
	h.pairs = kept
}

func (h *headerMap) Status() (int, bool) { return 0, false }

// values lists a header's, for the test.
func (h *headerMap) values(name string) string { return strings.Join(h.all(name), ",") }

func (h *headerMap) all(name string) []string {
	var all []string
	for _, p := range h.pairs {
		if p[0] == name {
			all = append(all, p[1])
		}
	}
	return all
}
