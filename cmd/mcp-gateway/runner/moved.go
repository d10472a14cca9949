package runner

import (
	"slices"
	"time"

	"mcp-gateway/controlplane/gateway"
)

// movedFor is how long Envoys can still reach the addresses that servers have left:
// longer than brokers and filters take to hear of the new ones, so that no call
// fails meanwhile.
const movedFor = 10 * time.Second

// moved are servers at addresses that they have left lately.
type moved []movedServer

type movedServer struct {
	gateway.Server
	until time.Time
}

// follow returns what is left of m at a time, with the servers that after has at
// other addresses than before, which may be nil.
func (m moved) follow(before, after *gateway.Gateway, now time.Time) moved {
	at := map[string]string{}
	for _, s := range after.EnabledServers() {
		at[s.Name] = s.Cluster()
	}
	var next moved
	if before != nil {
		for _, s := range before.EnabledServers() {
			next = append(next, movedServer{s, now.Add(movedFor)})
		}
	}
	next = append(next, m...)
	has := map[string]bool{}
	return slices.DeleteFunc(next, func(s movedServer) bool {
		cluster := s.Cluster()
		current, known := at[s.Name]
		if !known || current == cluster || has[cluster] || !now.Before(s.until) {
			return true
		}
		has[cluster] = true
		return false
	})
}

// with returns g, with the servers where they were.
func (m moved) with(g *gateway.Gateway) *gateway.Gateway {
	if len(m) == 0 {
		return g
	}
	all := *g
	all.Servers = slices.Clone(g.Servers)
	for _, s := range m {
		all.Servers = append(all.Servers, s.Server)
	}
	return &all
}
