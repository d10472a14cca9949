package metrics

import "github.com/prometheus/client_golang/prometheus"

// State is what there is at one time.
type State struct {
	// Streams are the open event streams of clients; SSEClients those of them that
	// are of HTTP+SSE clients.
	Streams, SSEClients int
	// Calls are those that are carried from stateless clients to servers with
	// sessions, Waiting those of them that wait for input.
	Calls, Waiting int
	Servers        []Server
}

// Server is one configured server.
type Server struct {
	Name string
	// Ready tells that its lists are current.
	Ready bool
	// Items counts what is offered of it and LeftOut what is not, because of the
	// limit; both by list.
	Items, LeftOut map[string]int
	// Withheld counts the items that are not offered because of what they say of
	// themselves, by list; Suspect those that are not to be trusted as they are, by
	// why; Blocked tells that nothing of the server is offered for that.
	Withheld, Suspect map[string]int
	Blocked           bool
	// Pooled are the sessions there that clients without sessions share.
	Pooled int
}

// collector turns a State into gauges. Each reading makes them anew, so that a
// server that is gone leaves none behind.
type collector struct {
	state func() State

	streams, sseClients, calls, waiting *prometheus.Desc
	ready, items, leftOut, pooled       *prometheus.Desc
	withheld, suspect, blocked          *prometheus.Desc
}

func gauges(state func() State) *collector {
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("mcp_broker_"+name, help, labels, nil)
	}
	return &collector{
		state:      state,
		streams:    of("streams", "Open event streams of clients."),
		sseClients: of("sse_clients", "HTTP+SSE clients that are connected."),
		calls:      of("calls", "Calls of stateless clients that are carried to servers with sessions now."),
		waiting:    of("waiting_calls", "Those of them that wait for input."),
		ready:      of("server_ready", "1 for a server whose lists are current, 0 for one that fails or has not answered yet.", "server"),
		items:      of("server_items", "Items of a server that are offered, by list.", "server", "list"),
		leftOut:    of("server_items_left_out", "Items of a server beyond limits.itemsPerServer, by list.", "server", "list"),
		withheld:   of("server_items_withheld", "Items of a server that are offered to nobody until they are approved, by list.", "server", "list"),
		suspect:    of("server_items_suspect", "Items of a server that are not to be trusted as they are, by why: changed, new, scan.", "server", "why"),
		blocked:    of("server_blocked", "1 for a server of which nothing is offered until its definitions are approved.", "server"),
		pooled:     of("pooled_sessions", "Sessions at a server that clients without sessions share.", "server"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.streams, c.sseClients, c.calls, c.waiting, c.ready, c.items, c.leftOut, c.pooled, c.withheld, c.suspect, c.blocked} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	s := c.state()
	gauge(c.streams, s.Streams)
	gauge(c.sseClients, s.SSEClients)
	gauge(c.calls, s.Calls)
	gauge(c.waiting, s.Waiting)
	for _, server := range s.Servers {
		ready := 0
		if server.Ready {
			ready = 1
		}
		gauge(c.ready, ready, server.Name)
		blocked := 0
		if server.Blocked {
			blocked = 1
		}
		gauge(c.blocked, blocked, server.Name)
		for list, n := range server.Withheld {
			gauge(c.withheld, n, server.Name, list)
		}
		for why, n := range server.Suspect {
			gauge(c.suspect, n, server.Name, why)
		}
		gauge(c.pooled, server.Pooled, server.Name)
		for list, n := range server.Items {
			gauge(c.items, n, server.Name, list)
		}
		for list, n := range server.LeftOut {
			gauge(c.leftOut, n, server.Name, list)
		}
	}
}
