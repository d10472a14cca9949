package envoyconfig

import (
	"fmt"

	xdstypev3 "github.com/cncf/xds/go/xds/type/v3"
	golangv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/golang/v3alpha"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/internal/mcp"
)

// Host is which filter of Envoy's runs the gateway's.
type Host string

// The hosts: every Envoy has dynamic modules from 1.38 on, only contrib builds
// have the filter for Go.
const (
	HostModule Host = "module" // envoy.filters.http.dynamic_modules
	HostGolang Host = "golang" // envoy.filters.http.golang
)

// plugin is the name under which the library for HostGolang registers.
const plugin = "mcp_gateway"

func (h Host) check() error {
	if h != HostModule && h != HostGolang {
		return fmt.Errorf("host of the filter: %q is neither %s nor %s", string(h), HostModule, HostGolang)
	}
	return nil
}

// String, Set and Type make a flag of h.
func (h *Host) String() string { return string(*h) }

// Set takes a name of a host.
func (h *Host) Set(name string) error {
	if err := Host(name).check(); err != nil {
		return err
	}
	*h = Host(name)
	return nil
}

// Type is what the flag's help calls its value.
func (h *Host) Type() string { return "host" }

// typeURL is the type of the filter's configuration in Envoy.
func (h Host) typeURL() string {
	if h == HostGolang {
		return pack(&golangv3.Config{}).TypeUrl
	}
	return pack(&filterv3.DynamicModuleFilter{}).TypeUrl
}

// golangFilter is the configuration of contrib's filter for Go.
func golangFilter(config *structpb.Struct, p Params) *anypb.Any {
	return pack(&golangv3.Config{
		LibraryId:    plugin,
		LibraryPath:  p.Library,
		PluginName:   plugin,
		PluginConfig: pack(&xdstypev3.TypedStruct{TypeUrl: "type.googleapis.com/" + plugin, Value: config}),
	})
}

// stats takes the labels of the filter's metrics out of their names: contrib's
// filter for Go knows no others.
func (h Host) stats() *metricsv3.StatsConfig {
	if h != HostGolang {
		return nil
	}
	tag := func(name, regex string) *metricsv3.TagSpecifier {
		return &metricsv3.TagSpecifier{TagName: name, TagValue: &metricsv3.TagSpecifier_Regex{Regex: regex}}
	}
	return &metricsv3.StatsConfig{StatsTags: []*metricsv3.TagSpecifier{
		tag("reason", `\bmcp_gateway_errors(\.reason\.(\w+))`),
		tag("server", `\bmcp_gateway_errors\.reason\.\w+(\.server\.(.+))$`),
		tag("phase", `\bmcp_gateway_panics(\.phase\.(\w+))$`),
	}}
}

// marked has routes to the broker, whose requests name no server, take only what
// the filter has let pass, and refuses all else: contrib's filter for Go lets
// everything pass where a library has not registered the plugin. A client can send
// no such mark (early).
func (h Host) marked(broker []*routev3.Route, unrouted *routev3.HeaderMatcher) []*routev3.Route {
	if h != HostGolang {
		return broker
	}
	mark := &routev3.HeaderMatcher{Name: mcp.HeaderFilter, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
	for _, r := range broker {
		r.Match.Headers = append(r.Match.Headers, mark)
	}
	return append(broker, &routev3.Route{
		Name:  "no-filter",
		Match: anyPath(unrouted),
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"the gateway's filter does not run in this Envoy"}}`,
			}},
		}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "content-type", Value: "application/json"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	})
}
