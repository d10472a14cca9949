package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker"
	"mcp-gateway/broker/configwatch"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/token"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/redisaddr"
)

const (
	// brokerGrace is how long requests to the broker may take to end.
	brokerGrace = 1500 * time.Millisecond
	// stopPatience bounds the end of everything, so that a whole run ends within
	// five seconds of the signal: Envoy first, then the rest.
	stopPatience = 2500 * time.Millisecond
)

// BrokerConfig says how to run a broker apart from Envoy.
type BrokerConfig struct {
	// File is the configuration; or ControlPlane the URL of a control plane that
	// has it. One of the two.
	File         string
	ControlPlane string
	// Listen is for Envoy's traffic, InternalListen for the filter's questions
	// and for health checks: "host:port" or "unix:/path".
	Listen         string
	InternalListen string
	// Secret guards the internal API, and is sent to the control plane; empty is
	// allowed only where nobody else can connect.
	Secret string
	// TrustedCA is the file of certificate authorities for https servers; empty
	// means the system's.
	TrustedCA string
	Version   string
	// Hurry, nil for never, ends the time in which others take over.
	Hurry <-chan struct{}
	Log   *zap.Logger
}

// Broker runs a broker until ctx ends.
func Broker(ctx context.Context, c BrokerConfig) error {
	if (c.File == "") == (c.ControlPlane == "") {
		return errors.New("broker: name either a configuration file or a control plane")
	}
	for _, of := range [][2]string{{"--listen", c.Listen}, {"--internal-listen", c.InternalListen}} {
		if c.Secret == "" && !private(of[1]) {
			return fmt.Errorf("broker: %s %s is open to the network: set $%s, here and for Envoy, or use a loopback address or a socket",
				of[0], of[1], gatewayconfig.SecretEnv)
		}
	}
	roots, err := authorities(c.TrustedCA)
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	public, err := listen(c.Listen)
	if err != nil {
		return fmt.Errorf("broker: --listen: %w", err)
	}
	internal, err := listen(c.InternalListen)
	if err != nil {
		_ = public.Close()
		return fmt.Errorf("broker: --internal-listen: %w", err)
	}
	services := newGroup()
	b := newBrokerService(c.Log, services, public, internal, broker.Options{Secret: c.Secret, Roots: roots})
	if c.File != "" {
		services.start("file watch", func(ctx context.Context) error {
			return watch(ctx, c.Log, c.File, "", func(g *gateway.Gateway) error { return b.apply(g.Broker(c.Version)) })
		})
	} else {
		services.start("control plane watch", func(ctx context.Context) error {
			return configwatch.Run(ctx, configwatch.Options{URL: c.ControlPlane, Secret: c.Secret, Apply: b.apply, Log: c.Log})
		})
	}
	c.Log.Info("broker listens", zap.Stringer("public", public.Addr()), zap.Stringer("internal", internal.Addr()))
	select {
	case <-ctx.Done():
		err = nil
		c.Log.Info("draining", zap.Duration("for", drainTime))
		b.drain.begin()
		select {
		case <-time.After(drainTime):
		case <-c.Hurry:
		case err = <-services.failed:
		}
	case err = <-services.failed:
	}
	if !services.stop(stopPatience) {
		c.Log.Warn("the end took too long, leaving")
	}
	b.close()
	return err
}

// brokerService is a broker with its listeners. It comes to life with the first
// configuration, since that says where sessions are kept.
type brokerService struct {
	log      *zap.Logger
	services *group
	public   net.Listener
	options  broker.Options
	drain    drain

	handler atomic.Pointer[http.Handler] // of the internal API

	mu       sync.Mutex
	broker   *broker.Broker
	store    session.Store
	pins     *redis.Pins // nil without Redis
	sessions gatewayconfig.Sessions
}

func newBrokerService(log *zap.Logger, services *group, public, internal net.Listener, options broker.Options) *brokerService {
	b := &brokerService{log: log.Named("broker"), services: services, public: public, options: options}
	services.start("broker's internal API", func(ctx context.Context) error {
		return serveHTTP(ctx, b.log, internal, b.drain.wrap(http.HandlerFunc(b.serveInternal)), brokerGrace)
	})
	return b
}

// serveInternal answers health checks even before there is a configuration.
func (b *brokerService) serveInternal(w http.ResponseWriter, r *http.Request) {
	if h := b.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	http.Error(w, "no configuration yet", http.StatusServiceUnavailable)
}

// apply takes the first or the next configuration.
func (b *brokerService) apply(c gatewayconfig.Broker) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broker != nil {
		if !reflect.DeepEqual(c.Sessions, b.sessions) {
			b.log.Warn("the settings of sessions changed; that takes effect with the next start")
		}
		return b.broker.Apply(c)
	}
	store, err := openStore(b.log, c.Sessions)
	if err != nil {
		return err
	}
	options := b.options
	pins, err := openPins(b.log, c.Sessions)
	if err != nil {
		return errors.Join(err, closeStore(store))
	}
	if pins != nil {
		options.Pins = pins
	}
	created := broker.New(b.log, store, options)
	if err := created.Apply(c); err != nil {
		return errors.Join(err, closeStore(store), closePins(pins))
	}
	b.broker, b.store, b.pins, b.sessions = created, store, pins, c.Sessions
	internal := created.Internal()
	b.handler.Store(&internal)
	b.services.start("broker", created.Run)
	b.services.start("broker's public listener", func(ctx context.Context) error {
		return serveHTTP(ctx, b.log, b.public, b.drain.wrap(created.Public()), brokerGrace)
	})
	return nil
}

// farewellPatience bounds the time for telling clients that their event streams have
// ended.
const farewellPatience = 500 * time.Millisecond

// endStreams ends the event streams of clients, which needs Envoy.
func (b *brokerService) endStreams() {
	if running := b.runs(); running != nil {
		ctx, cancel := context.WithTimeout(context.Background(), farewellPatience)
		defer cancel()
		running.EndSubscriptions(ctx)
		running.EndStreams(ctx)
	}
}

// lasting is how many requests of clients are event streams.
func (b *brokerService) lasting() int {
	if running := b.runs(); running != nil {
		return running.Lasting()
	}
	return 0
}

// runs returns the broker, nil before the first configuration.
func (b *brokerService) runs() *broker.Broker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broker
}

// close frees what the services used, after they ended.
func (b *brokerService) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.public.Close()
	if b.store != nil {
		_ = closeStore(b.store)
		_ = closePins(b.pins)
	}
}

func openStore(log *zap.Logger, c gatewayconfig.Sessions) (session.Store, error) {
	timeouts := session.Timeouts{Idle: time.Duration(c.IdleTimeout), Lifetime: time.Duration(c.Lifetime)}
	if c.Store == gateway.StoreMemory {
		return memory.New(memory.Options{Timeouts: timeouts})
	}
	if c.Store == gateway.StoreToken {
		return token.New(token.Options{Timeouts: timeouts, Keys: c.Keys})
	}
	redis.LogTo(log.Named("redis"))
	return redis.New(redisOptions(log, c))
}

func redisOptions(log *zap.Logger, c gatewayconfig.Sessions) redis.Options {
	return redis.Options{
		Timeouts: session.Timeouts{Idle: time.Duration(c.IdleTimeout), Lifetime: time.Duration(c.Lifetime)},
		Log:      log,
		URL:      c.Store,
		Username: c.Redis.Username, Password: c.Redis.Password,
		SentinelUsername: c.Redis.SentinelUsername, SentinelPassword: c.Redis.SentinelPassword,
		TLS:  redisaddr.TLS(c.Redis.TLS),
		Keys: c.Keys,
	}
}

// openPins returns what keeps pins in the Redis of the sessions; nil without one.
func openPins(log *zap.Logger, c gatewayconfig.Sessions) (*redis.Pins, error) {
	if c.Store == gateway.StoreMemory || c.Store == gateway.StoreToken {
		return nil, nil
	}
	return redis.NewPins(redisOptions(log, c))
}

func closePins(p *redis.Pins) error {
	if p == nil {
		return nil
	}
	return p.Close()
}

func closeStore(s session.Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
