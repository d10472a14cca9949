package filter

import (
	"fmt"
	"testing"
)

// hinted is a table of servers with these names.
func hinted(names ...string) *table {
	t := &table{}
	for _, name := range names {
		t.servers = append(t.servers, &server{name: name, hint: hintOf(name)})
	}
	return t
}

func TestHints(t *testing.T) {
	t.Parallel()
	h, tab := newHints(), hinted("a", "b")
	session := []byte("s")
	if got := h.server(session, []byte("1"), tab); got != nil {
		t.Errorf("an empty table knows %s", got.name)
	}
	// Many more than there is room for: what is still known is right.
	known := 0
	for i := range 4 * hintSlots {
		h.note(session, fmt.Append(nil, i), tab.servers[i%2].hint)
	}
	for i := range 4 * hintSlots {
		if got := h.server(session, fmt.Append(nil, i), tab); got != nil {
			known++
			if got != tab.servers[i%2] {
				t.Errorf("request %d is said to be at %s", i, got.name)
			}
		}
	}
	if known < hintSlots/2 || known > hintSlots {
		t.Errorf("%d requests are known in %d slots", known, hintSlots)
	}
	if got := h.server([]byte("t"), []byte("1"), tab); got != nil {
		t.Errorf("another session's request is said to be at %s", got.name)
	}
}

// Of two servers that go by the same hint none is taken.
func TestServersWithOneHint(t *testing.T) {
	t.Parallel()
	seen := map[uint16]string{}
	for i := 0; ; i++ {
		name := fmt.Sprint("server-", i)
		other, ok := seen[hintOf(name)]
		if !ok {
			seen[hintOf(name)] = name
			continue
		}
		h := newHints()
		h.note([]byte("s"), []byte("1"), hintOf(name))
		if got := h.server([]byte("s"), []byte("1"), hinted(name)); got == nil || got.name != name {
			t.Errorf("alone: %v", got)
		}
		if got := h.server([]byte("s"), []byte("1"), hinted(name, other)); got != nil {
			t.Errorf("%s and %s: %s", name, other, got.name)
		}
		return
	}
}
