package kubernetes

import (
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// grace is how long a server that was ready may fail before that is told: one that
// comes and goes would otherwise be written with every breath.
const grace = 5 * time.Second

// settler holds back what may pass by itself.
type settler struct {
	good map[sighting]gatewayconfig.ServerReport
	bad  map[sighting]time.Time // since when it fails
}

// sighting is a server as one broker sees it.
type sighting struct {
	broker int
	server string
}

// settle returns the reports with a server as it was while it was ready, if it has
// failed for less than grace, and whether there is such a server: then it has to be
// looked at again.
func (s *settler) settle(reports []gatewayconfig.Report, now time.Time) (out []gatewayconfig.Report, held bool) {
	good, bad := map[sighting]gatewayconfig.ServerReport{}, map[sighting]time.Time{}
	out = make([]gatewayconfig.Report, len(reports))
	for i, r := range reports {
		servers := make([]gatewayconfig.ServerReport, len(r.Servers))
		for j, server := range r.Servers {
			at := sighting{i, server.Name}
			last, known := s.good[at]
			since, failing := s.bad[at]
			if !failing {
				since = now
			}
			switch {
			case server.State == gatewayconfig.ServerReady:
				good[at] = server
			case known && server.State != gatewayconfig.ServerBlocked && now.Sub(since) < grace:
				good[at], bad[at], held = last, since, true
				server = last
			}
			servers[j] = server
		}
		r.Servers = servers
		out[i] = r
	}
	s.good, s.bad = good, bad
	return out, held
}
