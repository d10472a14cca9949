package golang

import (
	runtimemetrics "runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter/host"
)

// count is an error of a stream to be counted, or a panic in the phase reason.
type count struct {
	panic          bool
	reason, server string
}

// settleTime is how long after a change the gauges follow.
const settleTime = 200 * time.Millisecond

// metrics are those of one configuration. The contrib filter knows no labels: they
// stand in the names, from which the bootstrap takes them again (stats_tags).
type metrics struct {
	plugin *Plugin
	config *Config
	define api.ConfigCallbackHandler // nil for a route's configuration

	counters sync.Map // name -> api.CounterMetric

	streams, heap, sessions, configs api.GaugeMetric
	touched                          atomic.Bool
}

func newMetrics(p *Plugin, c *Config, define api.ConfigCallbackHandler) *metrics {
	m := &metrics{plugin: p, config: c, define: define}
	if define != nil {
		m.streams = define.DefineGaugeMetric("mcp_gateway_streams")
		m.heap = define.DefineGaugeMetric("mcp_gateway_heap_bytes")
		m.sessions = define.DefineGaugeMetric("mcp_gateway_cached_sessions")
		m.configs = define.DefineGaugeMetric("mcp_gateway_configurations")
	}
	return m
}

// add counts. It is for Envoy's threads: only those may make a counter.
func (m *metrics) add(counts []count) {
	if m.define == nil {
		return
	}
	for _, c := range counts {
		m.counter(c).Increment(1)
	}
	m.plugin.uncounted.Take(func(p host.Phase) { m.counter(count{panic: true, reason: p.String()}).Increment(1) })
	if m.plugin.streams.Load() == 0 {
		m.streams.Record(0) // there may be no next one for long
	}
}

func (m *metrics) counter(c count) api.CounterMetric {
	name := "mcp_gateway_panics.phase." + c.reason
	if !c.panic {
		server := c.server
		if server == "" {
			server = "-"
		}
		name = "mcp_gateway_errors.reason." + c.reason + ".server." + server
	}
	if known, ok := m.counters.Load(name); ok {
		return known.(api.CounterMetric)
	}
	made, _ := m.counters.LoadOrStore(name, m.define.DefineCounterMetric(name))
	return made.(api.CounterMetric)
}

// touch has the gauges follow soon: each stream changes them, and each time they
// are set is a lock that all workers share.
func (m *metrics) touch() {
	if m.define != nil && m.touched.CompareAndSwap(false, true) {
		time.AfterFunc(settleTime, m.set)
	}
}

func (m *metrics) set() {
	defer func() { _ = recover() }() // Envoy has let the configuration go
	m.touched.Store(false)
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	m.heap.Record(sample[0].Value.Uint64())
	m.streams.Record(uint64(max(m.plugin.streams.Load(), 0)))
	m.configs.Record(uint64(max(m.plugin.configs.Load(), 0)))
	m.sessions.Record(uint64(m.config.CachedSessions()))
}

// count notes an error to be counted by the next OnLog.
func (s *Stream) count(reason, server string) {
	s.counts = append(s.counts, count{reason: reason, server: server})
}
