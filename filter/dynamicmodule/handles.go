package dynamicmodule

import (
	"sync"
	"sync/atomic"

	"mcp-gateway/filter"
	"mcp-gateway/internal/fault"
)

// Stream is a filter.Stream with what its host needs beside it.
type Stream struct {
	filter.Stream
	Config *Config

	handle  uint64
	spoiled bool
}

// Spoil has the stream not used again when it is released: a panic has left it
// in no state to rely on.
func (st *Stream) Spoil() { st.spoiled = true }

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
	maxChunks = 1 << 16
	// maxSpare bounds the released streams that are kept for another use. What a
	// burst needed beyond that is left to the garbage collector.
	maxSpare = 512
)

// Streams gives streams to C as numbers. A released stream is used again, with
// a new number: a number that has gone finds nothing, ever.
type Streams struct {
	live   atomic.Int64
	chunks [maxChunks]atomic.Pointer[[chunkSize]slot]

	mu    sync.Mutex
	spare []*Stream
	free  []uint32 // slots without a stream
	next  uint32   // the first slot that was never used
}

type slot struct {
	stream atomic.Pointer[Stream]
	// generation makes each use of the slot a number of its own.
	generation atomic.Uint32
}

// Acquire returns a stream for one request under c; its number is not 0. Nil if
// there are as many as numbers.
func (s *Streams) Acquire(c *Config) (*Stream, uint64) {
	st, index, ok := s.take()
	if !ok {
		return nil, 0
	}
	sl := s.slot(index)
	st.handle = uint64(sl.generation.Add(1))<<32 | uint64(index)
	st.Config = c
	st.Reset(c.Gateway)
	sl.stream.Store(st)
	s.live.Add(1)
	return st, st.handle
}

// take returns a stream, a new one if none is spare, and a slot for it.
func (s *Streams) take() (st *Stream, index uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault.At("acquire")
	switch n := len(s.free); {
	case n > 0:
		index, s.free = s.free[n-1], s.free[:n-1]
	case s.next>>chunkBits >= maxChunks:
		return nil, 0, false
	default:
		index = s.next
		if s.chunks[index>>chunkBits].Load() == nil {
			s.chunks[index>>chunkBits].Store(new([chunkSize]slot))
		}
		s.next++
	}
	if n := len(s.spare); n > 0 {
		st, s.spare[n-1] = s.spare[n-1], nil
		s.spare = s.spare[:n-1]
		return st, index, true
	}
	return &Stream{}, index, true
}

func (s *Streams) slot(index uint32) *slot {
	return &s.chunks[index>>chunkBits].Load()[index&(chunkSize-1)]
}

// Get returns the stream of a number, nil if it has gone.
func (s *Streams) Get(handle uint64) *Stream {
	index := uint32(handle)
	if index>>chunkBits >= maxChunks {
		return nil
	}
	chunk := s.chunks[index>>chunkBits].Load()
	if chunk == nil {
		return nil
	}
	sl := &chunk[index&(chunkSize-1)]
	if sl.generation.Load() != uint32(handle>>32) {
		return nil
	}
	return sl.stream.Load()
}

// Live is the number of streams that were acquired and not released.
func (s *Streams) Live() int { return int(s.live.Load()) }

// keepBuffers is the largest buffer that a released stream keeps for its next
// use, in bytes.
const keepBuffers = 64 << 10

// Release ends the use of a stream. It does so even if it panics: then the
// stream is not used again.
func (s *Streams) Release(st *Stream) {
	index := uint32(st.handle)
	s.slot(index).stream.Store(nil)
	s.live.Add(-1)
	st.Close()
	usable := false
	defer func() { s.put(st, index, usable) }()
	fault.At("release")
	if !st.spoiled {
		st.Config = nil
		st.Trim(keepBuffers)
		usable = true
	}
}

func (s *Streams) put(st *Stream, index uint32, usable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, index)
	if usable && len(s.spare) < maxSpare {
		s.spare = append(s.spare, st)
	}
}
