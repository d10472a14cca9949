// Package metrics counts what happens in a broker, for Prometheus. Every label has
// values from a list of ours or from the configuration: no session, principal,
// address, tool or method that a client made up becomes a time series.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mcp-gateway/broker/session"
)

// Why a session has ended, or was not opened: values of the label reason.
const (
	Deleted = "deleted" // by its client
	Expired = "expired" // nobody used it, or its lifetime was over
)

// The ways of calls that the broker carries: values of the label way.
const (
	ToLegacy = "to_legacy" // of a client without sessions to a server with some
	ToModern = "to_modern" // the other way round
)

// Results of a request to a token endpoint.
const (
	TokenIssued = "issued"
	TokenFailed = "failed"
)

// Metrics are those of one broker. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	opened prometheus.Counter
	ended  *prometheus.CounterVec
	// refused counts by limit, failed the sessions that the store could not keep.
	refused *prometheus.CounterVec
	failed  prometheus.Counter
	calls   *prometheus.CounterVec
	tokens  *prometheus.CounterVec
	lists   *prometheus.HistogramVec

	store       *prometheus.HistogramVec
	storeErrors *prometheus.CounterVec
}

// Times from a local answer to the second that a store may take.
var buckets = []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1}

// New returns the metrics of a broker. limits are all values that Refused may get;
// state tells what there is now, once for each reading.
func New(limits []string, state func() State) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		opened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mcp_broker_sessions_opened_total", Help: "Client sessions that began at this replica.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_broker_sessions_ended_total", Help: "Client sessions that this replica has ended, by reason.",
		}, []string{"reason"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mcp_broker_sessions_failed_total", Help: "Client sessions that did not begin because the store did not answer.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_broker_refused_total", Help: "Requests refused, by the limit that they met.",
		}, []string{"limit"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_broker_calls_total", Help: "Calls that the broker has carried between the eras, by way.",
		}, []string{"way"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_broker_token_requests_total", Help: "Requests to token endpoints for tokens of a server, by result.",
		}, []string{"server", "result"}),
		lists: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mcp_broker_list_seconds", Help: "Time to answer a list, by list.", Buckets: buckets,
		}, []string{"list"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mcp_broker_store_seconds", Help: "Time of an operation of the session store, by operation.", Buckets: buckets,
		}, []string{"operation"}),
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_broker_store_errors_total", Help: "Operations that the session store did not answer, by operation.",
		}, []string{"operation"}),
	}
	m.registry.MustRegister(m.opened, m.ended, m.failed, m.refused, m.calls, m.tokens, m.lists, m.store, m.storeErrors, gauges(state),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// What has not happened yet is 0, and not missing.
	for _, limit := range limits {
		m.refused.WithLabelValues(limit)
	}
	for _, reason := range []string{Deleted, Expired} {
		m.ended.WithLabelValues(reason)
	}
	for _, way := range []string{ToLegacy, ToModern} {
		m.calls.WithLabelValues(way)
	}
	for _, operation := range operations {
		m.store.WithLabelValues(operation)
		m.storeErrors.WithLabelValues(operation)
	}
	return m
}

// Handler serves the metrics as text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gatherer reads them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// SessionOpened counts a session of a client that began.
func (m *Metrics) SessionOpened() { m.opened.Inc() }

// SessionFailed counts one that did not, as the store did not answer.
func (m *Metrics) SessionFailed() { m.failed.Inc() }

// SessionEnded counts one that ended: Deleted or Expired.
func (m *Metrics) SessionEnded(reason string) { m.ended.WithLabelValues(reason).Inc() }

// Refused counts a request that met a limit.
func (m *Metrics) Refused(limit string) { m.refused.WithLabelValues(limit).Inc() }

// Called counts a call between the eras: ToLegacy or ToModern.
func (m *Metrics) Called(way string) { m.calls.WithLabelValues(way).Inc() }

// TokenAsked counts a request to a token endpoint, for a server: TokenIssued or
// TokenFailed.
func (m *Metrics) TokenAsked(server, result string) { m.tokens.WithLabelValues(server, result).Inc() }

// Listed notes how long the answer to a list took.
func (m *Metrics) Listed(list string, took time.Duration) {
	m.lists.WithLabelValues(list).Observe(took.Seconds())
}

// Store returns store as it is, its operations noted.
func (m *Metrics) Store(store session.Store) session.Store { return &observed{store, m} }
