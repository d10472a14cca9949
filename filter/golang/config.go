package golang

import (
	"errors"
	"fmt"
	"runtime"

	xdstypev3 "github.com/cncf/xds/go/xds/type/v3"
	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/filter/golang/configpb"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
)

// Config is one configuration of the plugin in Envoy: of a listener's filter, or
// of a route, which takes the place of the filter's.
type Config struct {
	*host.Config
	broker  *broker
	metrics *metrics
	plugin  *Plugin
	// limits of bodies that are held back, in bytes.
	bodyLimit, responseLimit int
	// policies tells that filters of the operator's stand behind this one.
	policies bool
	// merged tells that it was made of two others, to which all it has belongs.
	merged bool
}

var _ api.Config = (*Config)(nil)

// Parse reads the configuration gatewayconfig.Filter as a Struct, bare or in a
// TypedStruct, or as the message configpb.Filter. callbacks are nil for that of a route.
func (p *Plugin) Parse(message *anypb.Any, callbacks api.ConfigCallbackHandler) (config any, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.report(host.PhaseConfig, r)
			p.uncounted.Add(host.PhaseConfig)
			config, err = nil, errors.New("mcp-gateway: internal error")
		}
	}()
	p.prepare.Do(p.raiseThreads)
	host.ArmAtStart()
	fault.At("config")
	c, err := p.parse(message)
	if err != nil {
		return nil, fmt.Errorf("mcp-gateway: %w", err)
	}
	c.metrics = newMetrics(p, c, callbacks)
	p.configs.Add(1)
	c.metrics.touch()
	return c, nil
}

func (p *Plugin) parse(message *anypb.Any) (*Config, error) {
	text, err := jsonOf(message)
	if err != nil {
		return nil, err
	}
	shared, err := host.NewConfig(text, p.Secret)
	if err != nil {
		return nil, err
	}
	b, err := newBroker(shared)
	if err != nil {
		return nil, fmt.Errorf("filter configuration: %w", err)
	}
	f := shared.Gateway.Config()
	return &Config{
		Config: shared, broker: b, plugin: p,
		bodyLimit: f.BodyLimit, responseLimit: f.ResponseLimit, policies: f.Policies,
	}, nil
}

// jsonOf returns the configuration that a message holds.
func jsonOf(message *anypb.Any) ([]byte, error) {
	m, err := message.UnmarshalNew()
	if err != nil {
		return nil, otherType(message)
	}
	var value proto.Message
	switch m := m.(type) {
	case *xdstypev3.TypedStruct:
		value = m.GetValue()
	case *structpb.Struct:
		value = m
	case *configpb.Filter:
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			return nil, errors.New("configuration with fields that this version does not know")
		}
		value = m
	default:
		return nil, otherType(message)
	}
	return protojson.Marshal(value)
}

func otherType(message *anypb.Any) error {
	return fmt.Errorf("configuration of type %q: want xds.type.v3.TypedStruct, google.protobuf.Struct or mcp_gateway.v1.Filter", message.GetTypeUrl())
}

// raiseThreads gives Go as many threads as Envoy has workers, and two: a worker
// holds one while it is in C, and each return from Go would find its own taken
// away.
func (p *Plugin) raiseThreads() {
	if p.Workers == nil {
		return
	}
	if n := p.Workers() + 2; n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
}

// Merge has a route's configuration take the place of the filter's. Only the
// filter's has counters, so they go on there.
func (p *Plugin) Merge(parent, child any) any {
	of, ok := parent.(*Config)
	own, okChild := child.(*Config)
	if !ok || !okChild {
		return nil // which NewStream refuses
	}
	merged := *own
	merged.metrics, merged.merged = of.metrics, true
	return &merged
}

// Destroy implements api.Config: Envoy has no stream under c any more. What is
// still asked in the background ends by itself.
func (c *Config) Destroy() {
	defer func() {
		if r := recover(); r != nil {
			c.plugin.report(host.PhaseConfig, r)
			c.plugin.uncounted.Add(host.PhaseConfig)
		}
	}()
	if c.merged {
		return
	}
	c.plugin.configs.Add(-1)
	c.broker.close()
	fault.At("config_close")
}
