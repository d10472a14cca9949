// Package attach says what brings the filter into the Envoys of a Gateway that somebody
// else implements: the objects that its controller makes their configuration of. It is
// pure. Server data is in none of them: adding a server changes no object, so no
// listener; the filter asks the broker for its table, as everywhere.
package attach

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// Target is a Gateway, and the endpoint that is to be at it.
type Target struct {
	// Name is that of all objects, Namespace theirs and the Gateway's.
	Name, Namespace string
	Gateway         string
	// Listener is the one by which clients come in; empty for any.
	Listener string
	Endpoint *gateway.Gateway
	// InternalHostnames are those of servers' routes, see gatewayconfig.Shared.
	InternalHostnames []string
	// Broker is where the broker answers clients, Internal where it answers filters.
	Broker, Internal Service
	// TrustedCA is the file of the certificate authorities that issuers' keys are fetched
	// by, as Envoy sees it; empty for Debian's.
	TrustedCA string
}

// Service is a port of a Service.
type Service struct {
	Name, Namespace string
	Port            int
	// Domain ends the names of Services, "cluster.local".
	Domain string
}

// Host is the Service's name in full.
func (s Service) Host() string { return s.Name + "." + s.Namespace + ".svc." + s.Domain }

// ParseService reads the address of a Service as pods write it, NAME.NAMESPACE.svc:PORT
// with or without what follows svc.
func ParseService(address, domain string) (Service, error) {
	host, port, _ := strings.Cut(address, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	labels := strings.SplitN(host, ".", 4)
	if err != nil || number == 0 || len(labels) < 3 || labels[0] == "" || labels[1] == "" || labels[2] != "svc" || len(labels) == 4 && labels[3] != domain {
		return Service{}, fmt.Errorf("%q: want a Service as NAME.NAMESPACE.svc:PORT, which a Gateway can have a route to", address)
	}
	return Service{Name: labels[0], Namespace: labels[1], Port: int(number), Domain: domain}, nil
}

// Object is an object of the API as JSON has it.
type Object = map[string]any

// filterConfig is the filter's configuration, for a host of it that asks the broker by
// a cluster or, where that is empty, by an address. tokens: see gatewayconfig.Shared.
func (t *Target) filterConfig(cluster, address string, tokens bool) (Object, error) {
	f := t.Endpoint.Filter(cluster)
	f.InternalAddress = address
	f.Shared = &gatewayconfig.Shared{InternalHostnames: t.InternalHostnames, Tokens: tokens}
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode the filter's configuration: %w", err)
	}
	var out Object
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("encode the filter's configuration: %w", err)
	}
	return out, nil
}

// Route is the HTTPRoute of the endpoint, for what the filter leaves to the broker.
func Route(t *Target) Object {
	parent := Object{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": t.Gateway}
	if t.Listener != "" {
		parent["sectionName"] = t.Listener
	}
	paths := []string{t.Endpoint.Path}
	if p := t.Endpoint.StreamPath(); p != "" && !strings.HasPrefix(p, strings.TrimSuffix(t.Endpoint.Path, "/")+"/") {
		paths = append(paths, p)
	}
	var matches []any
	for _, p := range paths {
		matches = append(matches, Object{"path": Object{"type": "PathPrefix", "value": p}})
	}
	// Whom the request is from, as Envoy sees it.
	filters := []any{Object{"type": "RequestHeaderModifier", "requestHeaderModifier": Object{
		"set": []any{Object{"name": mcp.HeaderAddress, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
	}}}
	if origins := t.Endpoint.AllowedOrigins; len(origins) > 0 {
		filters = append(filters, Object{"type": "CORS", "cors": Object{
			"allowOrigins": list(origins), "allowMethods": list([]string{"GET", "POST", "DELETE"}),
			"allowHeaders":  list(strings.Split(strings.TrimSuffix(envoyconfig.CORSHeaders(t.Endpoint), ", *"), ", ")),
			"exposeHeaders": list(strings.Split(envoyconfig.CORSExposed, ", ")), "maxAge": int64(600),
		}})
	}
	return Object{
		"apiVersion": "gateway.networking.k8s.io/v1",
		"kind":       "HTTPRoute",
		"metadata":   Object{"name": t.Name, "namespace": t.Namespace},
		"spec": Object{
			"parentRefs": []any{parent},
			"hostnames":  list(t.Endpoint.Hostnames),
			"rules": []any{Object{
				"matches": matches,
				// Streams last as long as they do; the brokers bound all else.
				"timeouts": Object{"request": "0s"},
				"filters":  filters,
				"backendRefs": []any{Object{
					"group": "", "kind": "Service", "name": t.Broker.Name, "namespace": t.Broker.Namespace,
					"port": int64(t.Broker.Port), "weight": int64(1),
				}},
			}},
		},
	}
}

func list(texts []string) []any {
	var out []any
	for _, s := range texts {
		out = append(out, s)
	}
	return out
}
