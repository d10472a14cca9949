package runner

import (
	"net/http"
	"sync/atomic"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// drainTime is how long a broker that is to end goes on while it says that it is
// not ready: every Envoy asks within half a second, and the calls that are under
// way mostly end in that time. With brokerGrace it is less than five seconds.
const drainTime = 2 * time.Second

// drain is the last part of a replica's life, in which others take over.
type drain struct{ begun atomic.Bool }

func (d *drain) begin() { d.begun.Store(true) }

// wrap has h say that the replica is not ready and, with each answer, that its
// connection ends: a listener that closes connections by itself may meet requests
// that are on their way.
func (d *drain) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.begun.Load() {
			w.Header().Set("Connection", "close")
			if r.URL.Path == gatewayconfig.PathReady {
				http.Error(w, "draining", http.StatusServiceUnavailable)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}
