package runner

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/controlplane/brokers"
	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/keys"
	"mcp-gateway/controlplane/publish"
	"mcp-gateway/internal/gatewayconfig"
)

// ControlPlaneConfig says how to run a control plane apart from Envoy and
// broker.
type ControlPlaneConfig struct {
	// File is the configuration; or Kubernetes says where in a cluster it is. One of
	// the two.
	File       string
	Kubernetes *KubernetesConfig
	// XDSListen is for Envoys, ConfigListen for brokers and health checks:
	// "host:port" or "unix:/path".
	XDSListen    string
	ConfigListen string
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
	xds, err := listen(c.XDSListen)
	if err != nil {
		return fmt.Errorf("control plane: --xds-listen: %w", err)
	}
	configs, err := listen(c.ConfigListen)
	if err != nil {
		_ = xds.Close()
		return fmt.Errorf("control plane: --config-listen: %w", err)
	}
	services := newGroup()
	cp := newControlPlane(c.Log, services, c.Params, xds)
	configuration := publish.NewConfig(c.Secret)
	services.start("brokers' configuration", func(ctx context.Context) error {
		// A broker's question may wait for long; it is asked again elsewhere.
		return serveHTTP(ctx, c.Log, configs, configuration, 0)
	})
	apply := func(g *gateway.Gateway) (digest string, err error) {
		// Envoy before the brokers: a name that they list must have its route.
		if err := cp.apply(g); err != nil {
			return "", err
		}
		return configuration.Publish(g.Broker(c.Version))
	}
	if c.Kubernetes != nil {
		services.start("kubernetes watch", func(ctx context.Context) error {
			return c.Kubernetes.run(ctx, c.Log, brokers.Watch{Address: c.Params.BrokerInternal, Secret: c.Secret}, apply)
		})
	} else {
		services.start("file watch", func(ctx context.Context) error {
			return watch(ctx, c.Log, c.File, "", func(g *gateway.Gateway) error {
				_, err := apply(g)
				return err
			})
		})
	}
	c.Log.Info("control plane listens", zap.Stringer("xds", xds.Addr()), zap.Stringer("config", configs.Addr()))
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

// controlPlane is gateway -> envoyconfig -> publish for Envoys.
type controlPlane struct {
	params envoyconfig.Params
	server *publish.Server
	keys   *keys.Watcher
	log    *zap.Logger

	mu      sync.Mutex
	gateway *gateway.Gateway // what was applied last
}

func newControlPlane(log *zap.Logger, services *group, p envoyconfig.Params, xds net.Listener) *controlPlane {
	log = log.Named("controlplane")
	cp := &controlPlane{params: p, server: publish.NewServer(log), log: log}
	cp.keys = keys.New(log, cp.renew)
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
	if err := cp.publish(g); err != nil {
		return err
	}
	cp.gateway = g
	return nil
}

// renew publishes again with the issuers' keys of now.
func (cp *controlPlane) renew() {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.gateway == nil {
		return
	}
	if err := cp.publish(cp.gateway); err != nil {
		cp.log.Error("Envoys are not told of an issuer's new keys", zap.Error(err))
	}
}

// publish is called under mu.
func (cp *controlPlane) publish(g *gateway.Gateway) error {
	p := cp.params
	p.Keys = cp.keys.Digests()
	resources, err := envoyconfig.Build(g, p)
	if err != nil {
		return err
	}
	return cp.server.Publish(resources)
}
