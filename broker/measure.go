package broker

import (
	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/upstream"
)

// measure returns what there is now, for the metrics.
func (b *Broker) measure() metrics.State {
	v := b.view.Load()
	out := metrics.State{Streams: b.counts.count(), SSEClients: b.oldClients.Count()}
	out.Calls, out.Waiting = b.ferry.Count()
	for i, snap := range v.seen {
		s := metrics.Server{
			Name: v.config.Servers[i].Name, Ready: snap.State == upstream.Ready,
			Items: map[string]int{}, LeftOut: map[string]int{},
		}
		integrityState(&s, v.verdicts[i])
		s.Pooled = b.pool.Count(v.servers[s.Name])
		items := v.merged[i].Items
		for k := catalog.Tools; k <= catalog.Templates; k++ {
			s.Items[k.String()], s.LeftOut[k.String()] = items.Count(k), items.Beyond(k)
		}
		out.Servers = append(out.Servers, s)
	}
	for _, x := range v.blocked {
		s := metrics.Server{Name: x.config.Name, Ready: x.seen.State == upstream.Ready}
		integrityState(&s, x.verdict)
		out.Servers = append(out.Servers, s)
	}
	return out
}
