// Package golang carries the decisions of the filter's core to the callbacks of
// Envoy's contrib filter for Go, envoy.filters.http.golang. It is plain Go;
// filter/golang/lib is the library itself and the only place with cgo.
//
// Bodies that are decided upon are held in Go's memory and not in Envoy's buffers:
// those have a limit of their own, whose answers are not in the protocol's form.
package golang

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
)

// Name is the plugin's, in Envoy's configuration.
const Name = "mcp_gateway"

// A worker lets Go's scheduler see that its thread has left and come back, every
// yieldEvery nanoseconds. Without, its monitor counts the thread as stuck in one
// callback after 10 ms, and from then on takes its processor away and signals it
// every 20 us.
const (
	yieldEvery = 5e6
	workers    = 256 // more of them share
)

// keepBuffers is the largest buffer that a released stream keeps for its next
// use, in bytes.
const keepBuffers = 64 << 10

// Plugin is what all streams of a process share. The zero value is ready. It is
// the api.StreamFilterConfigParser, and NewStream the api.StreamFilterFactory.
type Plugin struct {
	// Workers is the number of Envoy's workers, nil for unknown. It is called with
	// the first configuration.
	Workers func() int

	// Secret guards the broker's internal API; empty for none.
	Secret string

	yielded   [workers]atomic.Int64 // when each worker did
	prepare   sync.Once
	spare     sync.Pool // *filter.Stream
	streams   atomic.Int64
	configs   atomic.Int64
	uncounted host.Uncounted
}

var _ api.StreamFilterConfigParser = (*Plugin)(nil)

// NewStream makes the filter of one HTTP stream. It fails closed: with a
// configuration that is none of the plugin's, every request is refused.
func (p *Plugin) NewStream(config any, callbacks api.FilterCallbackHandler) api.StreamFilter {
	c, _ := config.(*Config)
	return &Stream{plugin: p, config: c, callbacks: callbacks}
}

// acquire returns a core stream for one request under c.
func (p *Plugin) acquire(c *Config) *filter.Stream {
	st, ok := p.spare.Get().(*filter.Stream)
	if !ok {
		st = new(filter.Stream)
	}
	st.Reset(c.Gateway)
	p.streams.Add(1)
	c.metrics.touch()
	return st
}

// release ends the use of a core stream. One that is spoiled, as a panic has left
// it in no state to rely on, is not used again.
func (p *Plugin) release(c *Config, st *filter.Stream, spoiled bool) {
	p.streams.Add(-1)
	c.metrics.touch()
	defer func() {
		if r := recover(); r != nil {
			p.report(host.PhaseRelease, r)
			p.uncounted.Add(host.PhaseRelease)
		}
	}()
	st.Close()
	fault.At("release")
	if !spoiled {
		st.Trim(keepBuffers)
		p.spare.Put(st)
	}
}

// yield is called by each request on its worker.
func (p *Plugin) yield(worker uint32, now int64) {
	last := &p.yielded[worker%workers]
	if now-last.Load() > yieldEvery {
		last.Store(now)
		runtime.Gosched()
	}
}

// report logs a panic: one line, and its stack where someone debugs.
func (p *Plugin) report(phase host.Phase, recovered any) {
	line, stack := host.Describe(phase, recovered)
	api.LogError(line)
	api.LogDebug(line + "\n" + stack)
}

// epoch is what the core's time is counted from. It lies back, as the core takes 0
// for long ago.
var epoch = time.Now().Add(-time.Hour)

func now() int64 { return int64(time.Since(epoch)) }
