package dynamicmodule

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"mcp-gateway/filter/host"
)

// Config is one filter configuration in Envoy.
type Config struct{ *host.Config }

// NewConfig is host.NewConfig for a host that asks the broker through Envoy.
func NewConfig(text []byte, secret string) (*Config, error) {
	c, err := host.NewConfig(text, secret)
	if err != nil {
		return nil, err
	}
	if f := c.Gateway.Config(); f.Table == nil && f.InternalCluster == "" {
		return nil, errors.New("filter configuration: internalCluster is missing")
	}
	return &Config{c}, nil
}

// Configs gives configurations to C as numbers, none of them 0. One process has few,
// and every request looks for its own.
type Configs struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Config] // never changed in place
}

// Add returns the number of c, which may have been another's that was removed.
func (s *Configs) Add(c *Config) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.all())
	i := slices.Index(next, nil)
	if i < 0 {
		i, next = len(next), append(next, nil)
	}
	next[i] = c
	s.list.Store(&next)
	return uint64(i) + 1
}

// Get returns the configuration of a number, nil if it has gone.
func (s *Configs) Get(number uint64) *Config {
	if all := s.all(); number-1 < uint64(len(all)) {
		return all[number-1]
	}
	return nil
}

// Remove forgets a number.
func (s *Configs) Remove(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := slices.Clone(s.all()); number-1 < uint64(len(next)) {
		next[number-1] = nil
		s.list.Store(&next)
	}
}

// Len is how many there are.
func (s *Configs) Len() int {
	n := 0
	for _, c := range s.all() {
		if c != nil {
			n++
		}
	}
	return n
}

func (s *Configs) all() []*Config {
	if all := s.list.Load(); all != nil {
		return *all
	}
	return nil
}
