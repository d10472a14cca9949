// Package kubernetes makes a gateway of what is declared in Kubernetes: MCPGateway,
// MCPServer and MCPVirtualServer, with the HTTPRoutes, Services and Secrets that
// they refer to. Translate is a pure function from objects to the one validated
// model and to what is to be said of each object. Controller keeps the objects at
// hand and says it. Neither knows Envoy, and nothing here is on any request's path.
package kubernetes

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
)

// Options of a translation.
type Options struct {
	// Gateway is the MCPGateway that is served; others are of interest only for who
	// is part of them.
	Gateway key
	// SecretNamespaces are those whose Secrets and ConfigMaps may be read.
	SecretNamespaces []string
	// ClusterDomain ends the names of Services; empty means "cluster.local".
	ClusterDomain string
	// Attach has the filter brought into the Envoys of a Gateway; nil leaves that to
	// others.
	Attach *AttachOptions
}

// Translation is what has become of the objects.
type Translation struct {
	// Object is the MCPGateway, nil if there is none; Endpoint what is said of it.
	Object   *v1alpha1.MCPGateway
	Endpoint Verdict
	// Gateway is the model; nil if it cannot be served at all.
	Gateway *gateway.Gateway
	// Servers and VirtualServers are those of which this gateway's control plane
	// tells, oldest first.
	Servers        []ServerResult
	VirtualServers []VirtualServerResult
	// Attachment is nil where what is there is to stay as it is.
	Attachment *Attachment
}

// ServerResult is what has become of an MCPServer.
type ServerResult struct {
	Object *v1alpha1.MCPServer
	Verdict
	// Gateway is the one that it is part of, nil for none.
	Gateway *v1alpha1.MCPGateway
	// Name is the server's in the model, Model the server if it is part of it.
	Name  string
	Model *gateway.Server
}

// VirtualServerResult is what has become of an MCPVirtualServer.
type VirtualServerResult struct {
	Object *v1alpha1.MCPVirtualServer
	Verdict
	Gateway *v1alpha1.MCPGateway
	Name    string
	Model   *gateway.VirtualServer
}

// Translate computes what becomes of the objects. Equal objects give equal
// translations, in whatever order they come.
func Translate(objects *Objects, o Options) *Translation {
	x := newIndex(objects, o.SecretNamespaces)
	x.domain = or(o.ClusterDomain, "cluster.local")
	m := newMembership(x)
	t := &Translation{Object: m.byKey[o.Gateway]}
	speaks := m.speaker(o.Gateway) == o.Gateway
	t.servers(m, o.Gateway, speaks)
	t.virtualServers(m, o.Gateway, speaks)
	if t.Object == nil {
		return t
	}
	t.Gateway, t.Endpoint = x.endpoint(t.Object)
	if !t.Endpoint.Served() {
		t.Gateway = nil
		return t
	}
	// First without the limit: what is refused anyway takes nobody's place.
	limit := t.Gateway.Limits.Servers
	t.Gateway.Limits.Servers = max(limit, len(t.Servers))
	if t.assemble(); t.Gateway != nil {
		t.Gateway.Limits.Servers = limit
		t.bound()
		t.assemble()
	}
	t.Attachment = x.attachment(t, o.Attach)
	return t
}

// servers takes the servers of the gateway.
func (t *Translation) servers(m *membership, own key, speaks bool) {
	var prefixes claims
	for _, s := range byAge[v1alpha1.MCPServer](m.MCPServers) {
		g, wrong := m.ofServer(s)
		r := ServerResult{Object: s, Gateway: g, Name: serverName(s.Namespace, s.Name)}
		r.add(wrong)
		switch {
		case g == nil && !speaks, g != nil && client.ObjectKeyFromObject(g) != own:
			continue
		case wrong != nil:
			t.Servers = append(t.Servers, r)
			continue
		}
		model, wrong := m.server(s, g)
		r.add(wrong)
		// Also of one that is not served now: it must not find its prefix gone.
		r.add(prefixes.claim(s, model.EffectivePrefix()))
		if r.Served() {
			r.Model = &model
		}
		t.Servers = append(t.Servers, r)
	}
}

// claim is a prefix with the server that has it.
type claim struct {
	prefix string
	by     *v1alpha1.MCPServer
}

type claims []claim

// claim takes a prefix for s, unless an older server has it. Prefixes of two
// namespaces must not overlap either: the longer one would take names from the other.
func (c *claims) claim(s *v1alpha1.MCPServer, prefix string) *finding {
	if prefix == "" {
		return nil
	}
	for _, o := range *c {
		switch {
		case o.prefix == prefix:
			return refused(v1alpha1.ReasonPrefixConflict, "prefix %q is that of MCPServer %s, which is older", prefix, keyOf(o.by))
		case o.by.Namespace != s.Namespace && (strings.HasPrefix(o.prefix, prefix) || strings.HasPrefix(prefix, o.prefix)):
			return refused(v1alpha1.ReasonPrefixConflict, "prefix %q overlaps with %q of MCPServer %s, which is older and of another namespace", prefix, o.prefix, keyOf(o.by))
		}
	}
	*c = append(*c, claim{prefix, s})
	return nil
}

// bound refuses the servers beyond the limit: the youngest, so that nobody who
// comes takes out who is there.
func (t *Translation) bound() {
	enabled := 0
	for i := range t.Servers {
		r := &t.Servers[i]
		if r.Model == nil || !r.Model.Enabled {
			continue
		}
		if enabled++; enabled > t.Gateway.Limits.Servers {
			r.refuse(refused(v1alpha1.ReasonUnsupportedValue, "the gateway has %d servers already, as many as it may (limits.servers)", t.Gateway.Limits.Servers))
		}
	}
}

func (r *ServerResult) refuse(f *finding) { r.add(f); r.Model = nil }

// assemble fills the model and takes out what makes it invalid, until nothing does:
// of two that cannot be together the model names the later one, so the younger goes.
func (t *Translation) assemble() {
	for {
		var servers []*ServerResult
		var virtual []*VirtualServerResult
		t.Gateway.Servers, t.Gateway.VirtualServers = nil, nil
		for i := range t.Servers {
			if r := &t.Servers[i]; r.Model != nil {
				servers = append(servers, r)
				t.Gateway.Servers = append(t.Gateway.Servers, *r.Model)
			}
		}
		for i := range t.VirtualServers {
			if r := &t.VirtualServers[i]; r.show(servers) {
				virtual = append(virtual, r)
				t.Gateway.VirtualServers = append(t.Gateway.VirtualServers, *r.Model)
			}
		}
		removed := false
		for _, p := range t.Gateway.Validate() {
			if p.Warning {
				continue
			}
			list, i, rest := place(p.Path)
			wrong := refused(v1alpha1.ReasonUnsupportedValue, "%s", inSpec(list, rest)+position.ReplaceAllString(p.Message, ""))
			switch {
			case list == "servers" && i < len(servers):
				servers[i].refuse(wrong)
				removed = true
			case list == "virtualServers" && i < len(virtual):
				virtual[i].refuse(wrong)
				removed = true
			default:
				t.Endpoint.add(refused(v1alpha1.ReasonUnsupportedValue, "spec.%s: %s", strings.TrimPrefix(p.Path, "gateway."), p.Message))
			}
		}
		if !t.Endpoint.Served() {
			t.Gateway = nil
			return
		}
		if !removed {
			return
		}
	}
}

var element = regexp.MustCompile(`^(servers|virtualServers)\[(\d+)\]\.?(.*)$`)

// place tells what a path of the model points into.
func place(path string) (list string, i int, rest string) {
	m := element.FindStringSubmatch(path)
	if m == nil {
		return "", 0, path
	}
	i, _ = strconv.Atoi(m[2])
	return m[1], i, m[3]
}

// position is where the model has another server, which means nothing here.
var position = regexp.MustCompile(` \((servers|virtualServers)\[\d+\]\)`)

// inSpec names the field of an object that the model calls rest.
func inSpec(list, rest string) string {
	switch {
	case rest == "":
		return ""
	case list == "virtualServers" && rest == "name":
		return "spec.endpointName: "
	}
	return "spec." + rest + ": "
}

// has reports whether the result is of a server of the model.
func has(servers []*ServerResult, name string) bool {
	return slices.ContainsFunc(servers, func(r *ServerResult) bool { return r.Name == name })
}
