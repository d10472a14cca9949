package attach

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"mcp-gateway/controlplane/envoyconfig"
)

// IstioController implements the GatewayClasses of Istio's.
const IstioController = "istio.io/gateway-controller"

// What of Istio has which filter: all have contrib's for Go until 1.30, and dynamic
// modules from then on. One object serves them all, as proxies say their version.
const (
	istioModule = `^1\.(3[1-9]|[4-9][0-9])\b`
	istioGolang = `^1\.(1[89]|2[0-9]|30)\b`
	istioEither = `^1\.(1[89]|[2-9][0-9])\b`
	// Envoys before these would take tokens that never expire. They verify none: where
	// tokens are wanted, the filter finds no claims and refuses everybody.
	istioVerify = `^1\.(2[4-9]|[3-9][0-9])\b`
)

// filterName is the filter's in Envoy, and its configuration's.
const filterName = "mcp-gateway"

const (
	typePrefix = "type.googleapis.com/"
	typeModule = typePrefix + "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
	typeGolang = typePrefix + "envoy.extensions.filters.http.golang.v3alpha.Config"
	typeStruct = typePrefix + "google.protobuf.Struct"
	typeTyped  = typePrefix + "xds.type.v3.TypedStruct"
)

// What the libraries are called, and where contrib's filter finds its one.
const (
	module  = "mcp_gateway"
	library = "/usr/local/lib/mcp-gateway/libmcp_gateway_golang.so"
)

// Istio is what attaches the endpoint to a Gateway of Istio's: one EnvoyFilter.
//
// The filter is in all of the Gateway's listeners, as servers' routes are at others, too,
// and clients are kept from those in all of them. It stands right before Envoy's router:
// what Istio verifies and permits is what the client has sent, and what is attached to
// servers' routes comes after. Its configuration is a resource of its own: listeners stay
// as they are when it changes, and the streams with them.
//
// Its question cluster is the one that Istio makes of the broker's Service: its endpoints,
// its mutual TLS, and what a DestinationRule says of it, are Istio's.
func Istio(t *Target) (Object, error) {
	patches, err := istioTokens(t)
	if err != nil {
		return nil, err
	}
	forModule, err := t.filterConfig(istioCluster(&t.Internal), "", true)
	if err != nil {
		return nil, err
	}
	forGolang, err := t.filterConfig("", net.JoinHostPort(t.Internal.Host(), strconv.Itoa(t.Internal.Port)), true)
	if err != nil {
		return nil, err
	}
	patches = append(patches, istioPatches(filterName, istioModule, typeModule, Object{
		"dynamic_module_config": Object{"name": module, "do_not_close": true, "metrics_namespace": module},
		"filter_name":           module,
		"filter_config":         Object{"@type": typeStruct, "value": forModule},
	})...)
	patches = append(patches, istioPatches(filterName, istioGolang, typeGolang, Object{
		"library_id": module, "library_path": library, "plugin_name": module,
		"plugin_config": Object{"@type": typeTyped, "type_url": typePrefix + module, "value": forGolang},
	})...)
	return Object{
		"apiVersion": "networking.istio.io/v1alpha3",
		"kind":       "EnvoyFilter",
		"metadata":   Object{"name": t.Name, "namespace": t.Namespace},
		"spec": Object{
			"targetRefs":    []any{Object{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": t.Gateway}},
			"configPatches": patches,
		},
	}, nil
}

// istioCluster is the name of Istio's cluster of a Service.
func istioCluster(s *Service) string { return fmt.Sprintf("outbound|%d||%s", s.Port, s.Host()) }

// istioTokens put filters that verify tokens in front of where the others are put, and one
// that takes forged claims from requests in front of these. Nothing comes between, as
// patches are applied in their order.
func istioTokens(t *Target) ([]any, error) {
	verify, err := envoyconfig.TokensShared(t.Endpoint, envoyconfig.Params{TrustedCA: t.TrustedCA})
	if err != nil {
		return nil, err
	}
	forged, err := asObject(verify.Forged)
	if err != nil {
		return nil, err
	}
	patches := []any{beforeRouter(istioEither, Object{"name": forged["name"], "typed_config": forged["typedConfig"]})}
	for _, c := range verify.Clusters {
		cluster, err := asObject(c)
		if err != nil {
			return nil, err
		}
		patches = append(patches, Object{
			"applyTo": "CLUSTER",
			"match":   Object{"context": "GATEWAY"},
			"patch":   Object{"operation": "ADD", "value": cluster},
		})
	}
	for _, f := range verify.Filters {
		filter, err := asObject(f)
		if err != nil {
			return nil, err
		}
		config, _ := filter["typedConfig"].(Object)
		typeURL, _ := config["@type"].(string)
		patches = append(patches, istioPatches(f.Name, istioVerify, typeURL, config)...)
	}
	return patches, nil
}

// asObject is a message of Envoy's as JSON has it.
func asObject(m proto.Message) (Object, error) {
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a %T: %w", m, err)
	}
	var out Object
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("encode a %T: %w", m, err)
	}
	return out, nil
}

// beforeRouter puts a filter into all listeners, behind those that were put there before.
func beforeRouter(versions string, filter Object) Object {
	return Object{
		"applyTo": "HTTP_FILTER",
		"match": Object{"context": "GATEWAY", "proxy": Object{"proxyVersion": versions}, "listener": Object{"filterChain": Object{"filter": Object{
			"name":      "envoy.filters.network.http_connection_manager",
			"subFilter": Object{"name": "envoy.filters.http.router"},
		}}}},
		"patch": Object{"operation": "INSERT_BEFORE", "value": filter},
	}
}

// istioPatches put a filter into proxies of some versions, with a configuration that is a
// resource of its own.
func istioPatches(name, versions, typeURL string, config Object) []any {
	config["@type"] = typeURL
	return []any{
		beforeRouter(versions, Object{
			"name": name,
			// Until it has come a listener does not listen: nothing passes without the filter.
			"config_discovery": Object{
				"config_source": Object{"ads": Object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
				"type_urls":     []any{typeURL},
			},
		}),
		Object{
			"applyTo": "EXTENSION_CONFIG",
			"match":   Object{"context": "GATEWAY", "proxy": Object{"proxyVersion": versions}},
			"patch":   Object{"operation": "ADD", "value": Object{"name": name, "typed_config": config}},
		},
	}
}
