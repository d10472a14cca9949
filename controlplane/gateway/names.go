package gateway

import "mcp-gateway/internal/gatewayconfig"

// PrefixPolicy says when a server's prefix goes before its names.
type PrefixPolicy string

// The policies. With PrefixAlways and PrefixOnConflict a server without a prefix
// has its name with "_" as one.
const (
	PrefixAlways     PrefixPolicy = "always"
	PrefixOnConflict PrefixPolicy = "on-conflict"
	PrefixNever      PrefixPolicy = "never"
)

// Rules admit what one of Allow matches, everything if it is nil, but for what
// one of Deny matches. In a pattern * is any run of characters.
type Rules struct {
	Allow []string
	Deny  []string
}

// Items are the rules for the tools or prompts of a server, and names that take
// the place of the usual ones.
type Items struct {
	Rules
	// Aliases maps exposed names to the server's own.
	Aliases map[string]string
}

// VirtualServer is a part of the gateway with an endpoint of its own, at the
// gateway's path, a slash and Name.
type VirtualServer struct {
	Name string
	// Description is for its serverInfo; Instructions take the place of the
	// gateway's, if there are any.
	Description  string
	Instructions string
	// Servers are the names of those that it shows; nil means all.
	Servers []string
	// Tools and Prompts go by exposed names, Resources by URIs as clients see
	// them.
	Tools     Rules
	Prompts   Rules
	Resources Rules
}

// EffectivePrefix is what goes before the names of s, always or on conflict.
func (s *Server) EffectivePrefix() string {
	if s.Prefix == "" && (s.PrefixPolicy == PrefixAlways || s.PrefixPolicy == PrefixOnConflict) {
		return s.Name + "_"
	}
	return s.Prefix
}

func (r Rules) project() gatewayconfig.Rules {
	return gatewayconfig.Rules{Allow: r.Allow, Deny: r.Deny}
}

func (i Items) project() gatewayconfig.Items {
	return gatewayconfig.Items{Rules: i.Rules.project(), Aliases: i.Aliases}
}

// views projects the virtual servers.
func (g *Gateway) views() []gatewayconfig.View {
	var out []gatewayconfig.View
	for _, v := range g.VirtualServers {
		servers := []string{}
		for _, s := range g.EnabledServers() {
			if v.Servers == nil {
				servers = append(servers, s.Name)
			}
			for _, name := range v.Servers {
				if name == s.Name {
					servers = append(servers, name)
				}
			}
		}
		out = append(out, gatewayconfig.View{
			Name: v.Name, Description: v.Description, Instructions: v.Instructions, Servers: servers,
			Tools: v.Tools.project(), Prompts: v.Prompts.project(), Resources: v.Resources.project(),
		})
	}
	return out
}
