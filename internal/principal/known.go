package principal

import (
	"errors"
	"hash/maphash"
	"strings"
	"sync"
)

// Errors of FromHeaders.
var (
	errNone = errors.New("nothing tells who sends the request")
	errMany = errors.New("more than one header tells who sends the request")
)

// FromHeaders is who sends a request, by the values of its headers
// mcp.HeaderClaims and mcp.HeaderClient. Exactly one value must be there.
func FromHeaders(claims, clients []string) (*Principal, error) {
	switch {
	case len(claims)+len(clients) > 1:
		return nil, errMany
	case len(claims) == 1:
		return Known(claims[0])
	case len(clients) == 1 && clients[0] != "":
		return FromKey(clients[0]), nil
	}
	return nil, errNone
}

// Known is FromClaims, but decodes the same payload once: a client sends the same
// token with each of its calls. It allocates nothing for one that is known. The
// payload may be memory that changes after the call.
//
// That a token has not expired is for who verifies it to tell, with each request.
func Known(payload string) (*Principal, error) { return seen.get(payload) }

// seen are the principals of the whole process: filters come and go with their
// configuration, tokens do not.
var seen = newKnown(shardEntries, shardBytes)

const (
	knownShards = 64
	// Bounds of one shard: how many principals, and of how much text in bytes. In
	// all 64 Ki principals of 16 MiB of text, which takes some 100 MB decoded; only
	// who has been given tokens can fill it.
	shardEntries = 1 << 10
	shardBytes   = 256 << 10
	// longestKnown is the largest payload that is kept, in bytes.
	longestKnown = 16 << 10
)

// known keeps principals by the payload of their tokens.
type known struct {
	seed           maphash.Seed
	entries, bytes int
	shards         [knownShards]knownShard
}

type knownShard struct {
	mu   sync.RWMutex
	m    map[string]*Principal
	size int // of all payloads, in bytes
}

func newKnown(entries, bytes int) *known {
	k := &known{seed: maphash.MakeSeed(), entries: entries, bytes: bytes}
	for i := range k.shards {
		k.shards[i].m = make(map[string]*Principal)
	}
	return k
}

func (k *known) get(payload string) (*Principal, error) {
	shard := &k.shards[maphash.String(k.seed, payload)%knownShards]
	if p := shard.find(payload); p != nil {
		return p, nil
	}
	p, err := FromClaims(payload)
	if err == nil && len(payload) <= min(longestKnown, k.bytes) {
		shard.add(strings.Clone(payload), p, k.entries, k.bytes)
	}
	return p, err
}

func (s *knownShard) find(payload string) *Principal {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[payload]
}

// add makes room by forgetting arbitrary ones.
func (s *knownShard) add(payload string, p *Principal, entries, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[payload] != nil {
		return
	}
	for other := range s.m {
		if len(s.m) < entries && s.size+len(payload) <= bytes {
			break
		}
		delete(s.m, other)
		s.size -= len(other)
	}
	s.m[payload] = p
	s.size += len(payload)
}
