package dynamicmodule

import (
	"sync"
	"sync/atomic"

	"mcp-gateway/filter"
)

// Stream is a filter.Stream with what its host needs beside it.
type Stream struct {
	filter.Stream
	Config *Config

	handle uint64
}

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
	maxChunks = 1 << 16
)

// Streams gives streams to C as numbers. A released stream is used again, with
// a new number: a number that has gone finds nothing, ever.
type Streams struct {
	mu     sync.Mutex
	free   []*Stream
	next   uint32
	chunks [maxChunks]atomic.Pointer[[chunkSize]slot]
}

type slot struct {
	stream atomic.Pointer[Stream]
	// generation makes each use of the slot a number of its own.
	generation atomic.Uint32
}

// Acquire returns a stream for one request under c; its number is not 0.
func (s *Streams) Acquire(c *Config) (*Stream, uint64) {
	s.mu.Lock()
	var st *Stream
	if n := len(s.free); n > 0 {
		st, s.free = s.free[n-1], s.free[:n-1]
	}
	var index uint32
	if st == nil {
		if s.next>>chunkBits >= maxChunks {
			s.mu.Unlock()
			return nil, 0
		}
		index = s.next
		s.next++
		if s.chunks[index>>chunkBits].Load() == nil {
			s.chunks[index>>chunkBits].Store(new([chunkSize]slot))
		}
		st = &Stream{}
	} else {
		index = uint32(st.handle)
	}
	s.mu.Unlock()
	sl := &s.chunks[index>>chunkBits].Load()[index&(chunkSize-1)]
	st.handle = uint64(sl.generation.Add(1))<<32 | uint64(index)
	st.Config = c
	st.Reset(c.Gateway)
	sl.stream.Store(st)
	return st, st.handle
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

// keepBuffers is the largest buffer that a released stream keeps for its next
// use, in bytes.
const keepBuffers = 64 << 10

// Release ends the use of a stream.
func (s *Streams) Release(st *Stream) {
	sl := &s.chunks[uint32(st.handle)>>chunkBits].Load()[st.handle&(chunkSize-1)]
	sl.stream.Store(nil)
	st.Trim(keepBuffers)
	s.mu.Lock()
	s.free = append(s.free, st)
	s.mu.Unlock()
}
