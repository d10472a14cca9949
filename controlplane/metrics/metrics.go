// Package metrics counts what happens in a control plane, for Prometheus. Labels have
// values from lists of ours, or digests of the configuration.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one replica. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	configurations prometheus.Counter
	configuration  *prometheus.GaugeVec
	envoys         prometheus.Gauge
	refusals       *prometheus.CounterVec
	brokers        prometheus.Gauge
	acknowledged   prometheus.Histogram
}

// Kinds are those of Envoy's resources: values of the label kind. Other is any kind
// that an Envoy may name besides.
var Kinds = []string{"listener", "route", "cluster", "endpoint", "extension", Other}

// Other is a kind of resources that is none of ours.
const Other = "other"

// Times from a request within a machine to a broker that is busy.
var buckets = []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

// New returns the metrics of a replica.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		configurations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mcp_controlplane_configurations_total", Help: "Configurations that brokers were given, each different from the one before.",
		}),
		configuration: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mcp_controlplane_configuration", Help: "1 for the configuration that brokers are given, by its digest.",
		}, []string{"digest"}),
		envoys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mcp_controlplane_envoys", Help: "Envoys that are connected to this replica.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp_controlplane_envoy_refusals_total", Help: "Resources that an Envoy has refused, by their kind.",
		}, []string{"kind"}),
		brokers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mcp_controlplane_brokers", Help: "Brokers that wait at this replica for the next configuration.",
		}),
		acknowledged: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mcp_controlplane_acknowledged_seconds", Help: "Time from a change until a broker has taken the configuration made of it.", Buckets: buckets,
		}),
	}
	m.registry.MustRegister(m.configurations, m.configuration, m.envoys, m.refusals, m.brokers, m.acknowledged)
	// What has not happened yet is 0, and not missing.
	for _, kind := range Kinds {
		m.refusals.WithLabelValues(kind)
	}
	return m
}

// Handler serves the metrics as text, with those of others.
func (m *Metrics) Handler(others ...prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(append(prometheus.Gatherers{m.registry}, others...), promhttp.HandlerOpts{})
}

// Gatherer reads them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Published notes that brokers are given another configuration.
func (m *Metrics) Published(digest string) {
	m.configurations.Inc()
	m.configuration.Reset()
	m.configuration.WithLabelValues(digest).Set(1)
}

// EnvoyCame counts an Envoy that has connected, until EnvoyLeft.
func (m *Metrics) EnvoyCame() { m.envoys.Inc() }

// EnvoyLeft is the end of its connection.
func (m *Metrics) EnvoyLeft() { m.envoys.Dec() }

// Refused counts what an Envoy did not take: one of Kinds.
func (m *Metrics) Refused(kind string) { m.refusals.WithLabelValues(kind).Inc() }

// BrokerWaits counts a broker that waits, until done is called.
func (m *Metrics) BrokerWaits() (done func()) {
	m.brokers.Inc()
	return m.brokers.Dec
}

// Acknowledged notes how long ago the change was that a broker has just taken.
func (m *Metrics) Acknowledged(after time.Duration) { m.acknowledged.Observe(after.Seconds()) }
