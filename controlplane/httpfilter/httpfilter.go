// Package httpfilter knows the HTTP filters of Envoy that an operator may put
// behind the gateway's own. It turns their configuration, JSON as Envoy's
// documentation writes it, into what Envoy takes, strictly: unknown types and
// fields and values that Envoy would refuse are faults.
package httpfilter

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	bandwidthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/bandwidth_limit/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	tometadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"mcp-gateway/controlplane/gateway"
)

// Prefix stands before the name of a type in a type URL.
const Prefix = "type.googleapis.com/"

// filters are those that are known, each with what configures it for a route; nil
// for one that cannot be.
var filters = []struct{ filter, route proto.Message }{
	{&rbacv3.RBAC{}, &rbacv3.RBACPerRoute{}},
	{&authzv3.ExtAuthz{}, &authzv3.ExtAuthzPerRoute{}},
	{&localv3.LocalRateLimit{}, &localv3.LocalRateLimit{}},
	{&ratelimitv3.RateLimit{}, &ratelimitv3.RateLimitPerRoute{}},
	{&tometadatav3.Config{}, &tometadatav3.Config{}},
	{&setmetadatav3.Config{}, nil},
	{&mutationv3.HeaderMutation{}, &mutationv3.HeaderMutationPerRoute{}},
	{&luav3.Lua{}, &luav3.LuaPerRoute{}},
	{&faultv3.HTTPFault{}, &faultv3.HTTPFault{}},
	{&bandwidthv3.BandwidthLimit{}, &bandwidthv3.BandwidthLimit{}},
}

// Scope is what a configuration is for.
type Scope int

const (
	Filter Scope = iota // the filter itself
	Route               // the filter on one server's route
)

// types are the messages of a scope by type URL, with the type URL of the filter.
func (s Scope) types() map[string]known {
	all := map[string]known{}
	for _, f := range filters {
		message := f.filter
		if s == Route {
			message = f.route
		}
		if message != nil {
			all[typeURL(message)] = known{message, typeURL(f.filter)}
		}
	}
	return all
}

type known struct {
	message proto.Message
	filter  string
}

func typeURL(m proto.Message) string {
	return Prefix + string(m.ProtoReflect().Descriptor().FullName())
}

// Names are the types that are known, sorted, without Prefix.
func (s Scope) Names() []string {
	var names []string
	for _, url := range slices.Sorted(maps.Keys(s.types())) {
		names = append(names, strings.TrimPrefix(url, Prefix))
	}
	return names
}

// Fault is what is wrong with a configuration. It quotes no value.
type Fault struct {
	// Line of the JSON, from 1 on; 0 if it is about the whole.
	Line int
	// Type tells that it is about the type.
	Type    bool
	Message string
}

// Decode turns a configuration of the type into Envoy's. text is its JSON, a
// member "@type" left out. Warnings tell of what is likely not meant.
func (s Scope) Decode(url string, text []byte) (config gateway.TypedConfig, warnings []string, fault *Fault) {
	k, ok := s.types()[url]
	if !ok {
		return config, nil, &Fault{Type: true, Message: s.unknown(url)}
	}
	m := k.message.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(text, m); err != nil {
		return config, nil, place(err)
	}
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return config, nil, &Fault{Message: strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "|", ";")), " ")}
		}
	}
	config = gateway.TypedConfig{TypeURL: url, Filter: k.filter}
	if err := clusters(m.ProtoReflect(), &config.Clusters); err != nil {
		return config, nil, &Fault{Message: err.Error()}
	}
	slices.Sort(config.Clusters)
	config.Clusters = slices.Compact(config.Clusters)
	var err error
	if config.Value, err = (proto.MarshalOptions{Deterministic: true}).Marshal(m); err != nil {
		return config, nil, &Fault{Message: "cannot be encoded: " + err.Error()}
	}
	return config, doubts(m), nil
}

func (s Scope) unknown(url string) string {
	names := strings.Join(s.Names(), ", ")
	name, ok := strings.CutPrefix(url, Prefix)
	switch {
	case !ok:
		return "want " + Prefix + "NAME, NAME being one of " + names
	case s == Route && Filter.types()[url].message != nil:
		return fmt.Sprintf("%s configures a filter, and here is wanted what configures one for a server: one of %s", name, names)
	}
	return fmt.Sprintf("%s is not known here; known are %s", name, names)
}

// doubts tell of configurations that do nothing by Envoy's defaults.
func doubts(m proto.Message) []string {
	l, ok := m.(*localv3.LocalRateLimit)
	if !ok {
		return nil
	}
	var all []string
	if l.FilterEnabled == nil {
		all = append(all, "filter_enabled is left out, so Envoy limits nothing: want default_value: {numerator: 100}")
	} else if l.FilterEnforced == nil {
		all = append(all, "filter_enforced is left out, so Envoy counts and refuses nothing: want default_value: {numerator: 100}")
	}
	return all
}

// clusters appends the names of clusters that m sends requests to.
func clusters(m protoreflect.Message, to *[]string) error {
	switch v := m.Interface().(type) {
	case *corev3.GrpcService_EnvoyGrpc:
		*to = append(*to, v.ClusterName)
	case *corev3.HttpUri:
		*to = append(*to, v.GetCluster())
	case *corev3.GrpcService_GoogleGrpc:
		return errors.New("google_grpc is not supported: use envoy_grpc with a cluster of envoyClusters")
	}
	var err error
	visit := func(m protoreflect.Message) {
		if err == nil {
			err = clusters(m, to)
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { visit(v.Message()); return err == nil })
			}
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
		default:
			visit(v.Message())
		}
		return err == nil
	})
	return err
}

// jsonError is an error of protojson, whose spaces differ from build to build.
var jsonError = regexp.MustCompile(`^proto:[\s\x{a0}]*(?:syntax error[\s\x{a0}]*)?\(line (\d+):\d+\):[\s\x{a0}]*(.*)$`)

// place finds the line in an error of protojson, and leaves out the value that it
// quotes: a variable may have brought it.
func place(err error) *Fault {
	match := jsonError.FindStringSubmatch(err.Error())
	if match == nil {
		return &Fault{Message: "is no valid configuration of this type"}
	}
	line, _ := strconv.Atoi(match[1]) // digits
	message := match[2]
	if strings.HasPrefix(message, "invalid ") {
		message, _, _ = strings.Cut(message, ": ")
		message, _, _ = strings.Cut(message, ` value "`)
	}
	return &Fault{Line: line, Message: message}
}
