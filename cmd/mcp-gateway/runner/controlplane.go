package runner

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/controlplane/brokers"
	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/keys"
	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/controlplane/publish"
	"mcp-gateway/controlplane/source/kubernetes"
	"mcp-gateway/internal/gatewayconfig"
)

// ControlPlaneConfig says how to run a control plane apart from Envoy and
// broker.
type ControlPlaneConfig struct {
	// File is the configuration; or Kubernetes says where in a cluster it is. One of
	// the two.
	File       string
	Kubernetes *KubernetesConfig
	// XDSListen is for Envoys, ConfigListen for brokers and health checks,
	// MetricsListen for /metrics, empty for none: "host:port" or "unix:/path".
	XDSListen     string
	ConfigListen  string
	MetricsListen string
	// Params tell where Envoys reach the broker. Its other fields may be empty.
	Params envoyconfig.Params
	// Secret guards the brokers' configuration; empty is allowed only where
	// nobody else can connect. xDS has no guard: the network must be the guard.
	Secret  string
	Version string
	Log     *zap.Logger
}

// ControlPlane runs a control plane until ctx ends.
func ControlPlane(ctx context.Context, c ControlPlaneConfig) error {
	if c.Secret == "" && !private(c.ConfigListen) {
		return fmt.Errorf("control plane: the brokers' configuration on %s would be open to the network: set %s, or use a loopback address or a socket",
			c.ConfigListen, gatewayconfig.SecretEnv)
	}
	roots, err := authoritiesOfEnvoy(c.Log, c.Params.TrustedCA)
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	l, err := c.listen()
	if err != nil {
		return err
	}
	services, counted := newGroup(), metrics.New()
	cp := newControlPlane(c.Log, services, counted, c.Params, roots, l.xds)
	configuration := publish.NewConfig(c.Secret, counted)
	services.start("brokers' configuration", func(ctx context.Context) error {
		// A broker's question may wait for long; it is asked again elsewhere.
		return serveHTTP(ctx, c.Log, l.config, configuration, 0)
	})
	if l.metrics != nil {
		services.start("metrics", func(ctx context.Context) error {
			return serveHTTP(ctx, c.Log, l.metrics, counted.Handler(kubernetes.Metrics()), 0)
		})
	}
	apply := func(g *gateway.Gateway, changed time.Time) (digest string, err error) {
		// Envoy before the brokers: a name that they list must have its route.
		if err := cp.apply(g); err != nil {
			return "", err
		}
		return configuration.Publish(g.Broker(c.Version), changed)
	}
	if c.Kubernetes != nil {
		services.start("kubernetes watch", func(ctx context.Context) error {
			return c.Kubernetes.run(ctx, c.Log, c.Params, brokers.Watch{Address: c.Params.BrokerInternal, Secret: c.Secret}, apply, configuration.Lack)
		})
	} else {
		services.start("file watch", func(ctx context.Context) error {
			return watch(ctx, c.Log, c.File, "", func(g *gateway.Gateway) error {
				_, err := apply(g, time.Now())
				return err
			})
		})
	}
	c.Log.Info("control plane listens", zap.Stringer("xds", l.xds.Addr()), zap.Stringer("config", l.config.Addr()))
	select {
	case <-ctx.Done():
		err = nil
	case err = <-services.failed:
	}
	if !services.stop(stopPatience) {
		c.Log.Warn("the end took too long, leaving")
	}
	return err
}

// listeners are those of a control plane; metrics may be nil.
type listeners struct{ xds, config, metrics net.Listener }

// listen opens all of them or none.
func (c *ControlPlaneConfig) listen() (l listeners, err error) {
	var opened []net.Listener
	for _, place := range []struct {
		flag, address string
		to            *net.Listener
	}{{"--xds-listen", c.XDSListen, &l.xds}, {"--config-listen", c.ConfigListen, &l.config}, {"--metrics-listen", c.MetricsListen, &l.metrics}} {
		if place.address == "" && place.to == &l.metrics {
			continue
		}
		if *place.to, err = listen(place.address); err != nil {
			for _, o := range opened {
				_ = o.Close()
			}
			return listeners{}, fmt.Errorf("control plane: %s: %w", place.flag, err)
		}
		opened = append(opened, *place.to)
	}
	return l, nil
}

// controlPlane is gateway -> envoyconfig -> publish for Envoys.
type controlPlane struct {
	params envoyconfig.Params
	server *publish.Server
	keys   *keys.Watcher
	log    *zap.Logger

	mu      sync.Mutex
	gateway *gateway.Gateway // what was applied last
	moved   moved            // from before it
}

func newControlPlane(log *zap.Logger, services *group, m *metrics.Metrics, p envoyconfig.Params, roots *x509.CertPool, xds net.Listener) *controlPlane {
	log = log.Named("controlplane")
	cp := &controlPlane{params: p, server: publish.NewServer(log, m), log: log}
	cp.keys = keys.New(log, roots, cp.renew)
	services.start("xDS server", func(ctx context.Context) error { return cp.server.Serve(ctx, xds) })
	services.start("watch of issuers' keys", cp.keys.Run)
	return cp
}

// keysPatience is how long a configuration waits for the keys of its issuers to be
// known: what comes later makes Envoys begin anew.
const keysPatience = 2 * time.Second

// apply makes g what Envoys get.
func (cp *controlPlane) apply(g *gateway.Gateway) error {
	if sets := g.Auth.KeySets(); len(sets) > 0 {
		cp.keys.Follow(sets, g.Auth.KeysEvery())
		ctx, cancel := context.WithTimeout(context.Background(), keysPatience)
		defer cancel()
		cp.keys.Await(ctx)
	} else {
		cp.keys.Follow(nil, 0)
	}
	cp.mu.Lock()
	defer cp.mu.Unlock()
	moved := cp.moved.follow(cp.gateway, g, time.Now())
	if err := cp.publish(g, moved); err != nil {
		return err
	}
	cp.gateway, cp.moved = g, moved
	if len(moved) > 0 {
		time.AfterFunc(movedFor, cp.renew)
	}
	return nil
}

// renew publishes again with the issuers' keys of now, and without the addresses that
// servers have left for long.
func (cp *controlPlane) renew() {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.gateway == nil {
		return
	}
	cp.moved = cp.moved.follow(nil, cp.gateway, time.Now())
	if err := cp.publish(cp.gateway, cp.moved); err != nil {
		cp.log.Error("Envoys are not told of an issuer's new keys, or that a server has left an address", zap.Error(err))
	}
}

// publish is called under mu.
func (cp *controlPlane) publish(g *gateway.Gateway, moved moved) error {
	p := cp.params
	p.Keys = cp.keys.Digests()
	resources, err := envoyconfig.Build(moved.with(g), p)
	if err != nil {
		return err
	}
	return cp.server.Publish(resources)
}
