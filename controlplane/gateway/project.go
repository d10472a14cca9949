package gateway

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/resourceuri"
)

// askTimeout bounds one question of the filter to the broker. The longest is
// for a backend session: the broker waits for its turn at a server, up to 14 s,
// connects to it and initializes it; clients mostly give up after 30 s. A constant,
// because the filter's configuration must not change with a server.
const askTimeout = 25 * time.Second

// Broker is the broker's configuration for a valid g; version goes into the
// gateway's serverInfo.
func (g *Gateway) Broker(version string) gatewayconfig.Broker {
	b := gatewayconfig.Broker{
		Name:         g.Name,
		Version:      version,
		Description:  g.Description,
		Instructions: g.Instructions,
		Path:         g.Path,
		NameLimit:    g.NameLength,
		PageSize:     g.PageSize,
		Views:        g.views(),
		Servers:      []gatewayconfig.Server{},
		Sessions: gatewayconfig.Sessions{
			Store:       g.Sessions.Store,
			Redis:       g.Sessions.Redis,
			Keys:        slices.Clone(g.Sessions.Keys),
			IdleTimeout: gatewayconfig.Duration(g.Sessions.IdleTimeout),
			Lifetime:    gatewayconfig.Duration(g.Sessions.Lifetime),
		},
		Limits: g.Limits.Limits,

		Integrity: g.integrity(),

		Endpoint: g.endpoint(),
		SSEPath:  g.StreamPath(),

		Sessionless: g.Sessionless == SessionlessPooled,
		Auth:        g.Auth != nil,

		Authorization: g.Authorization,
	}
	b.Issuers, b.KeyClients = g.Auth.admitted()
	enabled := g.EnabledServers()
	for _, s := range enabled {
		server := gatewayconfig.Server{
			Name:           s.Name,
			URL:            s.URL,
			Host:           s.Host,
			CACert:         s.CACert,
			Cluster:        s.Cluster(),
			Prefix:         s.EffectivePrefix(),
			OnConflict:     s.PrefixPolicy == PrefixOnConflict,
			Tools:          s.Tools.project(),
			Prompts:        s.Prompts.project(),
			Resources:      s.Resources.project(),
			Era:            s.Era,
			Partial:        cmp.Or(s.Partial, g.Partial),
			Headers:        maps.Clone(s.Headers),
			ForwardHeaders: lower(s.ForwardHeaders),
			OAuth:          s.tokens(s.OAuth),
			Exchange:       s.tokens(s.Exchange),
			Credential:     s.Credential,
			ListTimeout:    gatewayconfig.Duration(s.ListTimeout),
			CallTimeout:    gatewayconfig.Duration(s.Timeout),
		}
		if s.Route != nil {
			server.Route = &gatewayconfig.Route{Authority: s.Route.Authority, Path: s.Route.Path}
		}
		if len(enabled) > 1 {
			server.Label, _ = resourceuri.Label(s.Name) // Validate has seen to it
		}
		if s.Bridged() {
			server.Bridge = &gatewayconfig.Bridge{
				Command:        slices.Clone(s.Command),
				Env:            maps.Clone(s.Env),
				Dir:            s.Dir,
				Shared:         s.Process == ProcessServer,
				MaxProcesses:   cmp.Or(s.MaxProcesses, DefaultProcesses),
				ConnectTimeout: gatewayconfig.Duration(s.ConnectTimeout),
				ResponseLimit:  g.Limits.Event,
			}
		}
		b.Servers = append(b.Servers, server)
	}
	return b
}

// endpoint is the URL of the endpoint as the broker reaches it.
func (g *Gateway) endpoint() string {
	if g.InternalURL != "" {
		return g.InternalURL
	}
	at, err := SplitListen(g.Listen)
	if err != nil {
		return ""
	}
	host := at.Addr()
	switch {
	case host == netip.IPv4Unspecified():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case host == netip.IPv6Unspecified():
		host = netip.IPv6Loopback()
	}
	return "http://" + netip.AddrPortFrom(host, at.Port()).String() + g.Path
}

// StreamPath is where HTTP+SSE clients open their stream, empty if they are not
// served.
func (g *Gateway) StreamPath() string {
	switch g.SSEPath {
	case SSEPathOff:
		return ""
	case "":
		return strings.TrimSuffix(g.Path, "/") + "/sse"
	}
	return g.SSEPath
}

// Filter is the filter's configuration for a valid g. It depends on the
// endpoint alone, so that no server's change makes Envoy replace the filter.
// internalCluster is Envoy's cluster of the broker's internal API.
//
// A gateway on a loopback address is safe from web pages only if it knows its
// own names: without hostnames it has the usual ones.
func (g *Gateway) Filter(internalCluster string) gatewayconfig.Filter {
	var hostnames []string
	if at, err := SplitListen(g.Listen); len(g.Hostnames) == 0 && err == nil && at.Addr().IsLoopback() {
		hostnames = []string{"localhost", "127.0.0.1", "::1", "mcp.127-0-0-1.sslip.io"}
	}
	for _, h := range g.Hostnames {
		hostnames = append(hostnames, strings.Trim(h, "[]"))
	}
	return gatewayconfig.Filter{
		Path:            g.Path,
		SSEPath:         g.StreamPath(),
		Hostnames:       hostnames,
		AllowedOrigins:  g.AllowedOrigins,
		BodyLimit:       int(g.Limits.Body),
		ResponseLimit:   int(g.Limits.Response),
		EventLimit:      int(g.Limits.Event),
		Depth:           g.Limits.Depth,
		Questions:       g.Limits.Questions,
		InternalCluster: internalCluster,
		AskTimeout:      gatewayconfig.Duration(askTimeout),
		Sessionless:     g.Sessionless == SessionlessPooled,
		Auth:            g.Auth.project(),
		Metadata:        g.AccessLog != AccessLogOff || len(g.EnvoyFilters) > 0,
		Policies:        len(g.EnvoyFilters) > 0,
	}
}
