package runner

import (
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker"
	"mcp-gateway/broker/upstream"
)

const (
	// readyPatience is how long a gateway that serves may take to be ready before
	// that is told, readyPause the time between two looks.
	readyPatience = time.Second
	readyPause    = 100 * time.Millisecond
)

// readiness logs when the gateway is ready, as /readyz says, and what it waits for
// if that takes long: clients are served before.
type readiness struct {
	log      *zap.Logger
	start    time.Time // of the whole
	endpoint string

	served time.Time // the first look
	warned bool
}

// tell takes a look, and returns when the next is due; nil for never.
func (r *readiness) tell(s broker.Status) <-chan time.Time {
	now := time.Now()
	if r.served.IsZero() {
		r.served = now
	}
	at := zap.String("endpoint", r.endpoint)
	if s.Ready {
		r.log.Info("ready", at, zap.Duration("after", now.Sub(r.start).Round(time.Millisecond)))
		return nil
	}
	if !r.warned && now.Sub(r.served) >= readyPatience {
		r.warned = true
		r.log.Warn("clients are served, but the gateway is not ready", at, zap.Strings("waiting", waiting(s)))
	}
	return time.After(readyPause)
}

// waiting names what keeps a gateway from being ready.
func waiting(s broker.Status) []string {
	var out []string
	for _, server := range s.Servers {
		switch {
		case server.State == upstream.Connecting:
			out = append(out, server.Name+" has not answered yet")
		case server.Integrity != nil && server.Integrity.Pending:
			out = append(out, server.Name+" offers nothing until what was trusted of it can be read and kept (integrity.pins)")
		}
	}
	return out
}
