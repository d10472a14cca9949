// Package runner runs the parts of the gateway as one program or apart: it
// wires sources, control plane, broker and a supervised Envoy, and ends them in
// order. It serves all three paths and holds none of their logic; flags belong
// to the program around it.
package runner

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker"
	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/controlplane/source/file"
)

// Config says how to run the whole gateway.
type Config struct {
	// File is the configuration, watched while the gateway runs.
	File string
	// Listen replaces the file's gateway.listen; port 0 takes a free port.
	Listen string
	// Envoy and Module are the paths of Envoy's executable and of the filter's
	// library; empty means to look for them.
	Envoy, Module string
	// Host is what runs the filter in Envoy; empty means a dynamic module.
	Host envoyconfig.Host
	// Admin is where Envoy's admin interface listens, "unix:/path" or
	// "127.0.0.1:port"; empty means a private socket.
	Admin string
	// Concurrency is the number of Envoy's worker threads, at least 1.
	Concurrency int
	// EnvoyLogLevel is as Envoy names levels; empty means "warning".
	EnvoyLogLevel string
	// TrustedCA is the file of certificate authorities for https servers; empty means
	// Debian's for Envoy and the system's for the broker.
	TrustedCA string
	Version   string
	// Drain bounds the wait for calls under way once ctx has ended; Hurry, nil for
	// never, ends it early.
	Drain time.Duration
	Hurry <-chan struct{}
	// Stdout gets the access log if the file asks for it on stdout.
	Stdout *os.File
	// Ready is called once, with the endpoint's URL, when clients are served.
	Ready func(endpoint string)
	Log   *zap.Logger
}

// Run serves until ctx ends. Then it takes no new connections, waits for the calls
// under way for as long as Drain, and returns nil within five seconds. An error
// says what the operator has to change.
func Run(ctx context.Context, c Config) error {
	start := time.Now()
	address := &held{file: c.File}
	defer address.release()
	var options []file.Option
	if c.Listen != "" {
		at, err := address.take(c.Listen)
		if err != nil {
			return err
		}
		c.Listen, options = at, append(options, file.WithListen(at, func(string) {}))
	}
	g, _, err := Load(c.File, options...)
	if err != nil {
		return err
	}
	if err := address.keep(g); err != nil {
		return err
	}
	if err := openAccessLog(g); err != nil {
		return err
	}
	at, err := endpointOf(g)
	if err != nil {
		return err
	}
	roots, err := authorities(c.TrustedCA)
	if err != nil {
		return err
	}
	path, err := findEnvoy(c.Envoy)
	if err != nil {
		return err
	}
	module, err := findModule(c.Module, c.Host)
	if err != nil {
		return err
	}
	name, err := moduleName(module)
	if err != nil {
		return err
	}
	dir, err := newRundir()
	if err != nil {
		return err
	}
	defer dir.remove()
	params := envoyconfig.Params{
		BrokerPublic:   dir.socket("broker.sock"),
		BrokerInternal: dir.socket("internal.sock"),
		ControlPlane:   dir.socket("controlplane.sock"),
		Admin:          c.Admin,
		Host:           c.Host,
		Module:         name,
		Library:        module,
		TrustedCA:      c.TrustedCA,
	}
	at.internal = strings.TrimPrefix(params.BrokerInternal, "unix:")
	if params.Admin == "" {
		params.Admin = dir.socket("admin.sock")
	}
	c.Log.Info("starting", zap.String("config", c.File), zap.String("listen", g.Listen),
		zap.String("envoy", path), zap.String("module", module), zap.String("admin", params.Admin),
		zap.String("status", params.BrokerInternal))

	services := newGroup()
	defer services.cancel()
	b, cp, err := serveParts(c, services, params, roots, address)
	if err != nil {
		return err
	}
	defer b.close()

	edge := newGroup()
	defer edge.cancel()
	e := &envoy{
		path: path, module: module, concurrency: max(c.Concurrency, 1), logLevel: c.EnvoyLogLevel,
		dir: dir.path, params: params, stdout: c.Stdout, log: c.Log,
	}
	if e.logLevel == "" {
		e.logLevel = "warning"
	}
	edge.start("Envoy", e.run)

	probed := make(chan error, 1)
	go func() { probed <- at.await(edge.ctx) }()
	refused := cp.server.Refusals()
	told := readiness{log: c.Log, start: start, endpoint: at.url()}
	var look <-chan time.Time
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case err = <-edge.failed:
		case err = <-services.failed:
		case err = <-refused: // nobody would ever be served
		case err = <-probed:
			if err == nil {
				refused = nil // what is refused from now on leaves what was before
				c.Ready(at.url())
				look = told.tell(b.runs().Status())
			}
		case <-look:
			look = told.tell(b.runs().Status())
		}
	}
	if err == nil {
		c.Log.Info("ending")
		address.release() // a successor need not wait for the calls
		c.awaitCalls(edge, newFinish(params.Admin, b.lasting, c.Log))
	}
	b.endStreams()
	// Clients first: nobody should meet a gateway whose broker is gone.
	ended := edge.stop(envoyGrace + 500*time.Millisecond)
	ended = services.stop(stopPatience-500*time.Millisecond) && ended
	if !ended {
		c.Log.Warn("the end took too long, leaving")
	}
	return err
}

// awaitCalls waits for the calls that Envoy has, for as long as it lives.
func (c Config) awaitCalls(edge *group, calls *finish) {
	if c.Drain <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(edge.ctx, c.Drain)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); calls.await(ctx) }()
	select {
	case <-c.Hurry:
		c.Log.Info("ending at once")
	case <-edge.failed:
	case <-done:
	}
	cancel()
	<-done
}

// serveParts starts broker and control plane on the sockets of p, and the watch
// of the file that feeds both and says which address to hold.
func serveParts(c Config, services *group, p envoyconfig.Params, roots *x509.CertPool, address *held) (*brokerService, *controlPlane, error) {
	public, err := listen(p.BrokerPublic)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	internal, err := listen(p.BrokerInternal)
	if err != nil {
		return nil, nil, fmt.Errorf("broker: %w", err)
	}
	xds, err := listen(p.ControlPlane)
	if err != nil {
		return nil, nil, fmt.Errorf("control plane: %w", err)
	}
	cp := newControlPlane(c.Log, services, metrics.New(), p, roots, xds)
	b := newBrokerService(c.Log, services, public, internal, broker.Options{Roots: roots})
	services.start("file watch", func(ctx context.Context) error {
		return watch(ctx, c.Log, c.File, c.Listen, func(g *gateway.Gateway) error {
			if err := address.keep(g); err != nil {
				return err
			}
			if err := openAccessLog(g); err != nil {
				return err
			}
			// Envoy before the broker: a name that the broker lists must have
			// its route.
			if err := cp.apply(g); err != nil {
				return err
			}
			return b.apply(g.Broker(c.Version))
		})
	})
	return b, cp, nil
}
