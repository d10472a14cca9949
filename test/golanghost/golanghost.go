// Package golanghost runs a library for Envoy's contrib filter
// envoy.filters.http.golang in a stock Envoy, which does not have that filter.
// host/*.c is a dynamic module that takes contrib's part: it loads the library,
// calls what it exports and is called by it, and ends Envoy when the library does
// what contrib does not allow. scripts/golanghost.sh builds it.
//
// This package puts the module in the place of the filter in Envoy's
// configuration.
package golanghost

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/dynamic_modules/v3"
	modulev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/dynamic_modules/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Module is the module's name; Envoy looks for lib<name>.so.
const Module = "golanghost"

const (
	api = "type.googleapis.com/envoy.extensions.filters.http.golang.v3alpha."
	// TypeConfig and TypeRoute are the types of contrib's configurations, of the
	// filter and of a route.
	TypeConfig = api + "Config"
	TypeRoute  = api + "ConfigsPerRoute"
	// TypeModule and TypeModuleRoute are those of the module's in their place.
	TypeModule      = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
	TypeModuleRoute = TypeModule + "PerRoute"
)

// Replace returns the module's configuration for one of contrib's filter. Any other
// is returned as it is. The module reads the bytes of contrib's.
func Replace(config *anypb.Any) (*anypb.Any, error) {
	var replacement proto.Message
	switch config.GetTypeUrl() {
	case TypeConfig:
		replacement = &filterv3.DynamicModuleFilter{
			DynamicModuleConfig: module(), FilterName: Module, FilterConfig: opaque(config),
		}
	case TypeRoute:
		replacement = &filterv3.DynamicModuleFilterPerRoute{
			DynamicModuleConfig: module(), FilterName: Module, FilterConfig: opaque(config),
		}
	default:
		return config, nil
	}
	out, err := anypb.New(replacement)
	if err != nil {
		return nil, fmt.Errorf("configuration of the module: %w", err)
	}
	return out, nil
}

// Extension is the module as an extension of the server, which has the metrics of
// what runs in the filter's place.
func Extension() (*corev3.TypedExtensionConfig, error) {
	config, err := anypb.New(&bootstrapv3.DynamicModuleBootstrapExtension{DynamicModuleConfig: module(), ExtensionName: Module})
	if err != nil {
		return nil, fmt.Errorf("configuration of the module: %w", err)
	}
	return &corev3.TypedExtensionConfig{Name: Module, TypedConfig: config}, nil
}

func module() *modulev3.DynamicModuleConfig {
	return &modulev3.DynamicModuleConfig{
		Name: Module,
		// The library's calls are to be resolved from the module.
		LoadGlobally: true,
		DoNotClose:   true,
		// Contrib has none, a module must.
		MetricsNamespace: "golang",
	}
}

// opaque hands bytes to a module as they are.
func opaque(config *anypb.Any) *anypb.Any {
	out, err := anypb.New(wrapperspb.Bytes(config.GetValue()))
	if err != nil {
		panic(err) // bytes are always encoded
	}
	return out
}
