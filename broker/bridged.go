package broker

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/bridge"
	"mcp-gateway/broker/bridge/httpsse"
	"mcp-gateway/broker/bridge/stdio"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const (
	// drainTimeout is how long the requests in flight at a server that is no
	// longer configured may take.
	drainTimeout = 30 * time.Second
	// removedPatience is how long its processes may take to end after that;
	// endPatience is the same when the broker ends, which has two seconds.
	removedPatience = 6 * time.Second
	endPatience     = 1200 * time.Millisecond
	// bridgedLimit is the largest message of a server without a limit.
	bridgedLimit = 16 << 20
)

// newBridge returns the bridge to a server, nil for one that Envoy reaches.
// Nothing runs before somebody asks for it.
func (b *Broker) newBridge(config gatewayconfig.Broker, cfg gatewayconfig.Server) *bridge.Bridge {
	c := cfg.Bridge
	if c == nil {
		return nil
	}
	log := b.log.Named("bridge").With(zap.String("server", cfg.Name))
	// Strings always have an encoding.
	info, _ := json.Marshal(map[string]string{"name": config.Name, "version": config.Version})
	o := bridge.Options{
		Name: cfg.Name, Shared: c.Shared, ClientInfo: info,
		MaxSessions: func() int { return b.view.Load().limits.BridgedSessions },
		Refused:     func() { b.metrics.Refused(limitBridged) },
		BodyLimit:   func() int64 { return b.view.Load().limits.Body }, Log: log,
	}
	limit := int(c.ResponseLimit)
	if limit <= 0 {
		limit = bridgedLimit
	}
	if len(c.Command) > 0 {
		if !c.Shared && c.MaxProcesses > 0 {
			o.MaxSessions = func() int { return c.MaxProcesses }
		}
		var started atomic.Bool // each session has its own, so they are many
		o.Connect = func(context.Context) (bridge.Conn, error) {
			return stdio.Start(stdio.Command{
				Path: c.Command[0], Args: c.Command[1:], Env: c.Env, Dir: c.Dir, Limit: limit, Log: log,
				Quiet: started.Swap(true),
			})
		}
		return bridge.New(o)
	}
	var untrusted error
	transport := b.opts.Transport
	if transport == nil {
		transport, untrusted = outbound.NewTrusting(time.Duration(c.ConnectTimeout), b.opts.Roots, cfg.CACert)
	}
	source := b.sourceOf(cfg)
	o.Connect = func(ctx context.Context) (bridge.Conn, error) {
		if untrusted != nil {
			return nil, untrusted
		}
		return httpsse.Connect(ctx, httpsse.Server{
			URL: cfg.URL, Host: cfg.Host, Headers: cfg.Headers, Source: source, Limit: limit, Transport: transport,
		})
	}
	return bridge.New(o)
}

// bridged returns the configuration of a server as seen from this side of its
// bridge.
func bridged(cfg gatewayconfig.Server) gatewayconfig.Server {
	cfg.URL = "http://" + gatewayconfig.BridgeAuthority + gatewayconfig.PathBridge + cfg.Name
	cfg.Host, cfg.Headers, cfg.OAuth, cfg.Exchange = "", nil, nil, nil
	cfg.Era = gatewayconfig.EraLegacy // a bridge has sessions and nothing else
	return cfg
}

// keepBridge closes a bridge, if there is one, after ctx has ended: at once when
// the broker ends, else when its requests in flight have been answered.
func (b *Broker) keepBridge(ctx context.Context, local *bridge.Bridge) {
	if local == nil {
		return
	}
	b.running.Go(func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(b.life, drainTimeout)
		defer cancel()
		local.Drain(drain)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			local.Close(removedPatience)
		}()
		select {
		case <-ended:
		case <-b.life.Done():
			local.Close(endPatience)
			<-ended
		}
	})
}

// toBridge answers a request to a server that Envoy cannot reach; false if it
// is to the endpoint. The path cannot be a client's: the filter admits one only.
func (c *call) toBridge() bool {
	name, ok := strings.CutPrefix(c.r.URL.Path, gatewayconfig.PathBridge)
	if !ok {
		return false
	}
	if local := c.view.bridges[name]; local != nil {
		local.ServeHTTP(c.w, c.r)
	} else {
		c.fail(http.StatusNotFound, mcp.CodeInvalidRequest, "no such server")
	}
	return true
}
