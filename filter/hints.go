package filter

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// hintSlots bounds the table at 64 KiB, which stays in a core's cache.
const hintSlots = 1 << 13

// hints remembers which server a request went to, for the
// notifications/cancelled that may follow. It is lossy: a later request takes
// the place of an earlier one with the same slot, at the cost of one store and
// no lock. What it no longer knows the broker tells to every server.
type hints struct {
	seed  maphash.Seed
	slots [hintSlots]atomic.Uint64
}

func newHints() *hints { return &hints{seed: maphash.MakeSeed()} }

// slot returns the place for a client session's request, id being its raw
// token, and what tells it from others in that place: 48 bits, low ones zero.
func (h *hints) slot(session, id []byte) (*atomic.Uint64, uint64) {
	sum := maphash.Bytes(h.seed, session) ^ bits.RotateLeft64(maphash.Bytes(h.seed, id), 32)
	return &h.slots[sum%hintSlots], sum &^ 0xffff
}

// note remembers the server, by its hint.
func (h *hints) note(session, id []byte, hint uint16) {
	slot, mark := h.slot(session, id)
	slot.Store(mark | uint64(hint))
}

// server returns the server that the request went to, nil if that is not known.
func (h *hints) server(session, id []byte, t *table) *server {
	slot, mark := h.slot(session, id)
	v := slot.Load()
	if v == 0 || v&^0xffff != mark {
		return nil
	}
	var found *server
	for _, s := range t.servers {
		if s.hint != uint16(v) {
			continue
		}
		if found != nil {
			return nil // two names with one hint
		}
		found = s
	}
	return found
}

// hintOf is what a server goes by in hints, in whichever table it stands.
func hintOf(name string) uint16 {
	sum := uint32(2166136261) // FNV-1a
	for i := 0; i < len(name); i++ {
		sum = (sum ^ uint32(name[i])) * 16777619
	}
	return uint16(sum>>16) ^ uint16(sum)
}
