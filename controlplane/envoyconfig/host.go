package envoyconfig

import (
	"fmt"

	xdstypev3 "github.com/cncf/xds/go/xds/type/v3"
	golangv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/golang/v3alpha"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

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

// noFilter is the cluster of what the filter has not let pass. There is none of
// this name.
const noFilter = "mcp-no-filter"

// mark is what a route that names no choice of the filter's needs beside, to take only
// what it has let pass: contrib's filter for Go lets everything pass where a library
// has not registered the plugin. A client can send no such mark (early).
func (h Host) mark() []*routev3.HeaderMatcher {
	if h != HostGolang {
		return nil
	}
	return []*routev3.HeaderMatcher{{Name: mcp.HeaderFilter, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}}
}

// refusedRoutes are for what has neither a mark nor a choice. It has a route
// nevertheless: filters in front of ours, as for CORS, look at what the route that a
// request has at first is configured with, and take none that answers by itself.
func (h Host) refusedRoutes() []*routev3.Route {
	if h != HostGolang {
		return nil
	}
	return []*routev3.Route{{
		Name:  noFilter,
		Match: anyPath(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier:            &routev3.RouteAction_Cluster{Cluster: noFilter},
			ClusterNotFoundResponseCode: routev3.RouteAction_SERVICE_UNAVAILABLE,
		}},
	}}
}

// validateClusters has a static Envoy accept that there is no cluster noFilter.
func (h Host) validateClusters() *wrapperspb.BoolValue {
	if h != HostGolang {
		return nil
	}
	return wrapperspb.Bool(false)
}

// refusals are what Envoy answers in place of the filter where that does not run: a
// request has come to no cluster without a mark of the filter's. With one it is a
// cluster that Envoy does not have, or not any more, which is another matter.
func (h Host) refusals() []*hcmv3.ResponseMapper {
	if h != HostGolang {
		return nil
	}
	conditions := []*accesslogv3.AccessLogFilter{{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"NC"}}, // no such cluster
	}}}
	for _, name := range []string{mcp.HeaderCluster, mcp.HeaderFilter} {
		conditions = append(conditions, &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
			HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
				Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: false},
			}},
		}})
	}
	return []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
			AndFilter: &accesslogv3.AndFilter{Filters: conditions},
		}},
		BodyFormatOverride: errorBody(mcp.CodeInternalError, "the gateway's filter does not run in this Envoy"),
	}}
}
