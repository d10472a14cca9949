package gateway

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// EnvoyFilter is an HTTP filter of Envoy that the operator has put behind ours:
// it sees requests as they go on to a server or the broker, with the dynamic
// metadata "mcp", and may refuse them.
type EnvoyFilter struct {
	// Name is unique; servers refer to it.
	Name   string
	Config TypedConfig
}

// TypedConfig is the configuration of an Envoy extension, a google.protobuf.Any
// in pieces. Equal configurations have equal bytes.
type TypedConfig struct {
	TypeURL string
	Value   []byte
	// Filter is the type URL of the filter that this configures for a route; of a
	// filter's own configuration it is TypeURL.
	Filter string
	// Clusters are the names of those that it sends requests to.
	Clusters []string
}

// EnvoyCluster is a service that the operator's filters ask.
type EnvoyCluster struct {
	Name string
	// URL is grpc://host:port or http://host:port, with TLS grpcs:// or https://.
	URL string
	// ConnectTimeout bounds the opening of a connection.
	ConnectTimeout time.Duration
}

// DefaultEnvoyCluster is one without name and URL, with every default in place.
func DefaultEnvoyCluster() EnvoyCluster { return EnvoyCluster{ConnectTimeout: 2 * time.Second} }

// clusterPorts are the schemes of an EnvoyCluster with the port of each, 0 for
// none.
var clusterPorts = map[string]uint16{"http": 80, "https": 443, "grpc": 0, "grpcs": 443}

// ownPrefixes are the beginnings of names that the gateway's own filters and
// clusters have in Envoy.
var ownPrefixes = []string{"mcp-", "envoy.filters."}

func isOwn(name string) bool {
	return slices.ContainsFunc(ownPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func (v *validation) envoyFilters(g *Gateway) {
	clusters := v.envoyClusters(g.EnvoyClusters)
	filters := map[string]*EnvoyFilter{}
	for i := range g.EnvoyFilters {
		f, at := &g.EnvoyFilters[i], index("envoyFilters", i)
		v.envoyName(f.Name, at)
		if _, taken := filters[f.Name]; taken && f.Name != "" {
			v.errorf(at+".name", "%q is the name of another filter already", f.Name)
		}
		filters[f.Name] = f
		v.knownClusters(f.Config, clusters, at+".typed_config")
	}
	for i := range g.Servers {
		for j, f := range g.Servers[i].EnvoyFilters {
			at := index(index("servers", i)+".envoyFilters", j)
			filter, known := filters[f.Name]
			switch {
			case f.Name == "":
				v.errorf(at+".name", "is missing")
				continue
			case !known:
				v.errorf(at+".name", "no filter of envoyFilters is called %q", f.Name)
				continue
			case slices.ContainsFunc(g.Servers[i].EnvoyFilters[:j], func(o EnvoyFilter) bool { return o.Name == f.Name }):
				v.errorf(at+".name", "%q is configured for this server already", f.Name)
			case f.Config.Filter != "" && filter.Config.TypeURL != "" && f.Config.Filter != filter.Config.TypeURL:
				v.errorf(at+".typed_config", "its @type is none for a filter of type %s", typeName(filter.Config.TypeURL))
			}
			v.knownClusters(f.Config, clusters, at+".typed_config")
		}
	}
}

// envoyClusters returns the names.
func (v *validation) envoyClusters(clusters []EnvoyCluster) map[string]bool {
	names := map[string]bool{}
	for i, c := range clusters {
		at := index("envoyClusters", i)
		v.envoyName(c.Name, at)
		if names[c.Name] && c.Name != "" {
			v.errorf(at+".name", "%q is the name of another cluster already", c.Name)
		}
		names[c.Name] = true
		v.duration(at+".connectTimeout", c.ConnectTimeout, false)
		u, err := url.Parse(c.URL)
		switch {
		case c.URL == "":
			v.errorf(at+".url", "is missing")
			continue
		case err != nil:
			v.errorf(at+".url", "is no URL")
			continue
		}
		port, known := clusterPorts[u.Scheme]
		switch {
		case !known:
			v.errorf(at+".url", "want grpc://, grpcs://, http:// or https://")
		case u.User != nil || u.Path != "" && u.Path != "/" || strings.ContainsAny(c.URL, "?#"):
			v.errorf(at+".url", "must hold nothing but scheme, host and port")
		case !isAuthority(u.Host):
			v.errorf(at+".url", "has no valid host")
		case port == 0 && u.Port() == "":
			v.errorf(at+".url", "has no port")
		}
	}
	return names
}

func (v *validation) envoyName(name, at string) {
	switch {
	case name == "":
		v.errorf(at+".name", "is missing")
	case !serverName.MatchString(name):
		v.errorf(at+".name", "%q: want 1 to 63 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", name)
	case isOwn(name):
		v.errorf(at+".name", "%q: names that begin with %s are the gateway's own", name, strings.Join(ownPrefixes, " or "))
	}
}

func (v *validation) knownClusters(c TypedConfig, known map[string]bool, at string) {
	for _, name := range c.Clusters {
		if !known[name] {
			v.errorf(at, "no cluster of envoyClusters is called %q", name)
		}
	}
}

// typeName is the name of a type without what stands before it in an Any.
func typeName(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '/')+1:] }
