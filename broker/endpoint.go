package broker

import (
	"net/http"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// endpoint is what is told at one endpoint.
type endpoint struct {
	offers offers
	// hello is the part of the answer to initialize behind the revision.
	hello []byte
	// discovered is the answer to server/discover behind the id.
	discovered []byte
	// listed begins the answer to each list method of the stateless revisions, from
	// behind the id to the list itself.
	listed map[catalog.Kind][]byte
	// config and servers are what it was made of.
	config  gatewayconfig.Broker
	servers []*upstream.Snapshot
}

// endpointsOf returns the endpoints by the names of their views. A view greets as
// a gateway of its own, with the servers that it shows.
func endpointsOf(config gatewayconfig.Broker, servers []*upstream.Snapshot, merged *catalog.Catalog) map[string]endpoint {
	var sole *upstream.Snapshot
	if len(servers) == 1 && config.Servers[0].Prefix == "" {
		sole = servers[0]
	}
	greet := func(config gatewayconfig.Broker, servers []*upstream.Snapshot) endpoint {
		o := offersOf(servers, sole)
		return endpoint{
			offers: o, hello: encodeHello(config, o, servers),
			discovered: encodeDiscovered(config, o, servers), listed: encodeListed(config, servers),
			config: config, servers: servers,
		}
	}
	out := map[string]endpoint{"": greet(config, servers)}
	for _, v := range config.Views {
		part, shown := config, merged.View(v.Name)
		part.Name, part.Description, part.Servers = v.Name, v.Description, nil
		if v.Instructions != "" {
			part.Instructions = v.Instructions
		}
		var seen []*upstream.Snapshot
		for i, s := range servers {
			if shown.Shows(i) {
				part.Servers = append(part.Servers, config.Servers[i])
				seen = append(seen, s)
			}
		}
		out[v.Name] = greet(part, seen)
	}
	return out
}

// offers returns what the request's endpoint offers.
func (c *call) offers() offers { return c.view.endpoints[c.endpoint].offers }

// begun waits for what started waits for, and looks at the endpoint again: the
// view may be newer than the one that the session was found with.
func (b *Broker) begun(c *call) bool {
	if !b.started(c) {
		c.fail(http.StatusOK, mcp.CodeInternalError, "the gateway is starting")
		return false
	}
	return c.findEndpoint() && b.checkEndpoint(c)
}

// server returns a server that an endpoint shows; nil if it does not.
func (v *view) server(endpoint, name string) *upstream.Server {
	if shown := v.catalog.View(endpoint); shown == nil || !shown.ShowsServer(name) {
		return nil
	}
	return v.servers[name]
}

// findEndpoint finds what the request's path asks for, and who asks. As long as there is no
// configuration nothing can be told, and nothing be seen: what depends on it
// waits for one with started.
func (c *call) findEndpoint() bool {
	if !c.view.configured {
		return true
	}
	if !c.identify() {
		return false
	}
	name, ok := gatewayconfig.ViewName(c.view.config.Path, []byte(c.r.URL.Path))
	c.endpoint, c.shown = string(name), c.view.catalog.View(string(name))
	if !ok || c.shown == nil {
		c.fail(http.StatusNotFound, mcp.CodeInvalidRequest, "no such endpoint")
		return false
	}
	return true
}

// checkEndpoint keeps a session to the endpoint that it was opened at, as what
// another one hides is not to be had with it, and to who has opened it.
func (b *Broker) checkEndpoint(c *call) bool {
	if c.modern == nil && c.shown != nil && (c.session.Endpoint != c.endpoint || !c.owns(c.session.Principal)) {
		b.failStore(c, session.ErrNotFound)
		return false
	}
	return true
}
