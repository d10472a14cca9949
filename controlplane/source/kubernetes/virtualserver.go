package kubernetes

import (
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
)

// virtualServers takes the virtual servers of the gateway.
func (t *Translation) virtualServers(m *membership, own key, speaks bool) {
	names := map[string]string{}
	for _, v := range byAge[v1alpha1.MCPVirtualServer](m.MCPVirtualServers) {
		g, wrong := m.named(v.Spec.GatewayRef, v.Namespace)
		r := VirtualServerResult{Object: v, Gateway: g, Name: or(v.Spec.EndpointName, v.Name)}
		r.add(wrong)
		switch {
		case g == nil && !speaks, g != nil && client.ObjectKeyFromObject(g) != own:
			continue
		case wrong != nil:
			t.VirtualServers = append(t.VirtualServers, r)
			continue
		}
		if owner, taken := names[r.Name]; taken {
			r.add(refused(v1alpha1.ReasonNameConflict, "endpoint %q is that of MCPVirtualServer %s, which is older", r.Name, owner))
		} else {
			names[r.Name] = v.Namespace + "/" + v.Name
		}
		if r.Served() {
			r.Model = &gateway.VirtualServer{
				Name: r.Name, Description: v.Spec.Description, Instructions: v.Spec.Instructions,
				Servers: t.shown(&r), Tools: rules(v.Spec.Tools), Prompts: rules(v.Spec.Prompts), Resources: rules(v.Spec.Resources),
			}
		}
		t.VirtualServers = append(t.VirtualServers, r)
	}
}

// shown are the names of the servers that a virtual server is to show, nil for all.
// One that the gateway has not is told, and the rest shown.
func (t *Translation) shown(r *VirtualServerResult) []string {
	var names, missing []string
	for _, ref := range r.Object.Spec.Servers {
		name := serverName(or(ref.Namespace, r.Object.Namespace), ref.Name)
		known := slices.ContainsFunc(t.Servers, func(s ServerResult) bool { return s.Name == name && s.Gateway != nil })
		switch {
		case !known:
			missing = append(missing, or(ref.Namespace, r.Object.Namespace)+"/"+ref.Name)
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	if len(missing) > 0 {
		r.add(unresolved(v1alpha1.ReasonServerNotFound, "the gateway has no MCPServer %s", strings.Join(missing, ", ")))
	}
	if r.Object.Spec.Servers != nil && names == nil {
		names = []string{}
	}
	return names
}

// show narrows the virtual server to what is served, and reports whether that
// leaves anything: to show nothing and to show all are written alike.
func (r *VirtualServerResult) show(servers []*ServerResult) bool {
	if r.Model == nil || r.Model.Servers == nil {
		return r.Model != nil
	}
	r.Model.Servers = slices.DeleteFunc(r.Model.Servers, func(name string) bool { return !has(servers, name) })
	if len(r.Model.Servers) == 0 {
		r.refuse(unresolved(v1alpha1.ReasonServerNotFound, "none of its servers is served now"))
	}
	return r.Model != nil
}

func (r *VirtualServerResult) refuse(f *finding) { r.add(f); r.Model = nil }

// endpointPath is where a virtual server is served.
func endpointPath(base, name string) string { return strings.TrimSuffix(base, "/") + "/" + name }
