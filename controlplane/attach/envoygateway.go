package attach

import (
	"encoding/json"
	"fmt"
	"strings"
)

// EnvoyGatewayController implements the GatewayClasses of Envoy Gateway's.
const EnvoyGatewayController = "gateway.envoyproxy.io/gatewayclass-controller"

// The API of Envoy Gateway's, and its kinds that matter here.
const (
	EnvoyGatewayGroup   = "gateway.envoyproxy.io"
	EnvoyGatewayVersion = "v1alpha1"
	KindEnvoyProxy      = "EnvoyProxy"
	KindExtensionPolicy = "EnvoyExtensionPolicy"
)

// listedModule is the filter's module as an EnvoyProxy lists it. No name there has an
// underscore.
const listedModule = "mcp-gateway"

// EnvoyGateway is what attaches the endpoint to a Gateway of Envoy Gateway's: one
// EnvoyExtensionPolicy.
//
// It is for the whole Gateway, as servers' routes are at others of its listeners, too,
// and clients are kept from those in all of them. Its configuration is part of the
// listeners, and holds no server: one that comes changes routes and clusters alone.
//
// Where the module is, only the operator can say, in the EnvoyProxy (ProxiesLack). There
// is the cluster for the filter's questions, too: one that Envoy Gateway makes has a
// route, by which clients would reach the broker's internal API.
func EnvoyGateway(t *Target) (Object, error) {
	config, err := t.filterConfig(QuestionCluster(&t.Internal), "", false)
	if err != nil {
		return nil, err
	}
	return Object{
		"apiVersion": EnvoyGatewayGroup + "/" + EnvoyGatewayVersion,
		"kind":       KindExtensionPolicy,
		"metadata":   Object{"name": t.Name, "namespace": t.Namespace},
		"spec": Object{
			"targetRefs":    []any{Object{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": t.Gateway}},
			"dynamicModule": []any{Object{"name": listedModule, "filterName": module, "config": config}},
		},
	}, nil
}

// QuestionCluster is the cluster of the broker's internal API in the bootstrap of Envoys
// that Envoy Gateway runs. It is called as the Service, so that two gateways may share
// an EnvoyProxy.
func QuestionCluster(s *Service) string { return s.Host() }

// ProxiesLack says what a Gateway's Envoys have not of what its policy takes, by its
// EnvoyProxies: that of the Gateway first, then that of its class. Empty is nothing. The
// first counts alone, unless it says that it is merged.
func ProxiesLack(cluster string, proxies ...Object) string {
	listed, known, counted := false, false, 0
	for _, proxy := range proxies {
		spec, _ := proxy["spec"].(Object)
		counted++
		list, _ := spec["dynamicModules"].([]any)
		for _, entry := range list {
			if m, ok := entry.(Object); ok && m["name"] == listedModule {
				listed = true
			}
		}
		// Its text is a template, YAML or a patch: all that can be told is that it is there.
		bootstrap, err := json.Marshal(spec["bootstrap"])
		known = known || err == nil && strings.Contains(string(bootstrap), cluster)
		if spec["mergeType"] == nil {
			break
		}
	}
	switch {
	case counted == 0:
		return "neither the Gateway nor its class names an EnvoyProxy, which has to list the module"
	case !listed:
		return fmt.Sprintf("the EnvoyProxy does not list the module %s in spec.dynamicModules", listedModule)
	case !known:
		return fmt.Sprintf("the EnvoyProxy has no cluster %s in spec.bootstrap, by which the filter asks the brokers", cluster)
	}
	return ""
}
