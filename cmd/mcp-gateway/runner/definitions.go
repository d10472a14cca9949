package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker"
	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

// DefinitionsConfig says what servers are asked for what they list.
type DefinitionsConfig struct {
	Gateway *gateway.Gateway
	// Servers are the names of those to ask; none means all that are enabled.
	Servers []string
	// Lock is what is trusted.
	Lock pin.Lock
	// TrustedCA is the file of certificate authorities for https servers; empty
	// means the system's.
	TrustedCA string
	Version   string
	// Patience bounds the whole.
	Patience time.Duration
	Log      *zap.Logger
}

// pollEvery is how often the broker is looked at while it asks the servers.
const pollEvery = 20 * time.Millisecond

// Definitions asks the servers for their lists, as a broker does, and returns all
// that they say beside what is trusted of it. A server that cannot be asked is an
// error: what it lists is not known.
func Definitions(ctx context.Context, c DefinitionsConfig) (integrity.Overview, error) {
	none := integrity.Overview{}
	config := c.Gateway.Broker(c.Version)
	for _, name := range c.Servers {
		if !slices.ContainsFunc(config.Servers, func(s gatewayconfig.Server) bool { return s.Name == name }) {
			return none, fmt.Errorf("%q is no enabled server of the configuration", name)
		}
	}
	text, err := c.Lock.Text()
	if err != nil {
		return none, err
	}
	config.Integrity.Pins = gatewayconfig.Pins{OnChange: gatewayconfig.ReactWarn, Locked: true, Lock: string(text)}
	config.Sessions = gatewayconfig.Sessions{}
	roots, err := authorities(c.TrustedCA)
	if err != nil {
		return none, err
	}
	store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	b := broker.New(c.Log, store, broker.Options{Roots: roots})
	if err := b.Apply(config); err != nil {
		return none, err
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		status := b.Status()
		if waiting := unread(status, c.Servers, true); len(waiting) == 0 {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	failed := unread(b.Status(), c.Servers, false)
	out := b.Integrity().Definitions(true)
	cancel()
	if err := errors.Join(<-ended, errors.Join(failed...)); err != nil {
		return none, err
	}
	if len(c.Servers) > 0 {
		out.Definitions = slices.DeleteFunc(out.Definitions, func(d integrity.Definition) bool { return !slices.Contains(c.Servers, d.Server) })
	}
	return out, nil
}

// unread returns an error for each server whose lists are not known; only of
// those that have not failed, either, if waiting.
func unread(status broker.Status, servers []string, waiting bool) []error {
	var out []error
	for _, s := range status.Servers {
		if len(servers) > 0 && !slices.Contains(servers, s.Name) || s.State == upstream.Ready || waiting && s.State == upstream.Failed {
			continue
		}
		why := strings.TrimSpace(s.Error)
		if why == "" {
			why = "no answer in time"
		}
		out = append(out, fmt.Errorf("server %s cannot be asked for what it lists: %s", s.Name, why))
	}
	return out
}
