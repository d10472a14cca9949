package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"mcp-gateway/broker/bridge"
	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
)

// server is one configured server. Guarded by Broker.mu.
type server struct {
	config    gatewayconfig.Server
	authority string // of the URL, or as overridden
	path      string // with the query
	upstream  *upstream.Server
	bridge    *bridge.Bridge // nil for a server that Envoy reaches itself
	cancel    context.CancelFunc

	// items were prepared from lists, with the prefix and label of config.
	lists *upstream.Lists
	items *catalog.Items
}

// view is what requests are served from. Immutable.
type view struct {
	configured bool
	bodyLimit  int64
	config     gatewayconfig.Broker
	servers    map[string]*upstream.Server
	bridges    map[string]*bridge.Bridge
	merged     []catalog.Server // what catalog was merged from
	catalog    *catalog.Catalog
	offers     offers
	// hello is the part of the answer to initialize behind the revision.
	hello []byte
	// seen are the snapshots that the view was made from, in the servers' order.
	seen []*upstream.Snapshot
}

func emptyView() *view {
	return &view{bodyLimit: defaultBodyLimit, catalog: catalog.Merge(nil)}
}

// Apply replaces the configuration. Servers whose connection stays the same
// keep it, with their lists; a server that is reached in another way shows its
// last lists until the new ones are read. After an error nothing has changed.
func (b *Broker) Apply(config gatewayconfig.Broker) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return errors.New("broker: apply after the end")
	}
	old := make(map[string]*server, len(b.servers))
	for _, s := range b.servers {
		old[s.config.Name] = s
	}
	next := make([]*server, 0, len(config.Servers))
	var begun []*server
	var errs []error
	names := map[string]bool{}
	for _, cfg := range config.Servers {
		if names[cfg.Name] {
			errs = append(errs, fmt.Errorf("server %s is configured twice", cfg.Name))
			continue
		}
		names[cfg.Name] = true
		before := old[cfg.Name]
		if before != nil && sameConnection(before.config, cfg) {
			kept := *before
			if cfg.Prefix != kept.config.Prefix || cfg.Label != kept.config.Label {
				kept.lists, kept.items = nil, nil
			}
			kept.config = cfg
			next = append(next, &kept)
			continue
		}
		s, err := b.newServer(config, cfg, before)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next, begun = append(next, s), append(begun, s)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("broker: apply: %w", err)
	}

	for _, s := range old {
		if !slices.ContainsFunc(next, func(n *server) bool { return n.upstream == s.upstream }) {
			s.cancel()
		}
	}
	for _, s := range begun {
		ctx, cancel := context.WithCancel(b.life)
		s.cancel = cancel
		b.running.Go(func() { s.upstream.Run(ctx) })
		b.keepBridge(ctx, s.bridge)
	}
	b.config, b.servers = config, next
	b.remake()
	b.beginGrace()
	b.hub.lookAll()
	b.log.Info("configuration applied", zap.Int("servers", len(next)), zap.Int("new", len(begun)))
	return nil
}

// sameConnection reports whether a server is reached in the same way. Prefix
// and label are the gateway's business.
func sameConnection(a, b gatewayconfig.Server) bool {
	return a.URL == b.URL && a.Host == b.Host && a.ListTimeout == b.ListTimeout && maps.Equal(a.Headers, b.Headers) &&
		a.Bridge.Equal(b.Bridge)
}

func (b *Broker) newServer(config gatewayconfig.Broker, cfg gatewayconfig.Server, before *server) (*server, error) {
	o := upstream.Options{
		Name: config.Name, Version: config.Version,
		Log: b.log, Changed: b.refresh, Transport: b.opts.Transport,
	}
	if before != nil {
		o.Before = before.upstream.Snapshot()
	}
	reached, local := cfg, b.newBridge(config, cfg)
	if local != nil {
		reached, o.Transport = bridged(cfg), bridge.Transport(local)
	}
	up, err := upstream.New(reached, o)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(reached.URL)
	if err != nil {
		return nil, fmt.Errorf("server %s: url is no URL", cfg.Name)
	}
	s := &server{config: cfg, authority: u.Host, path: u.RequestURI(), upstream: up, bridge: local}
	if reached.Host != "" {
		s.authority = reached.Host
	}
	return s, nil
}

// refresh makes a new view after a change of a server. Of many calls at once
// one does the work.
func (b *Broker) refresh() {
	b.stale.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stale.Load() {
		b.remake()
	}
}

// remake makes a view of what is known now, and then tells the clients what has
// changed in the lists: who asks upon that gets the new list. Called under mu.
func (b *Broker) remake() {
	b.stale.Store(false) // before the snapshots are read
	old := b.view.Load()
	next := &view{
		configured: true,
		bodyLimit:  b.config.BodyLimit,
		config:     b.config,
		servers:    make(map[string]*upstream.Server, len(b.servers)),
		bridges:    make(map[string]*bridge.Bridge),
	}
	if next.bodyLimit <= 0 {
		next.bodyLimit = defaultBodyLimit
	}
	tried := true
	for _, s := range b.servers {
		snap := s.upstream.Snapshot()
		tried = tried && snap.State != upstream.Connecting
		b.prepare(s, snap)
		next.servers[s.config.Name] = s.upstream
		if s.bridge != nil {
			next.bridges[s.config.Name] = s.bridge
		}
		next.seen = append(next.seen, snap)
		next.merged = append(next.merged, catalog.Server{Route: s.route(snap), Items: s.items})
	}
	next.offers = offersOf(b.config, next.seen)
	next.hello = encodeHello(b.config, next.offers, next.seen)
	if old.configured && slices.Equal(old.merged, next.merged) {
		next.catalog = old.catalog
	} else {
		next.catalog = catalog.Merge(next.merged)
		b.logConflicts(old.catalog, next.catalog)
	}
	b.view.Store(next)
	b.hub.announce(changesBetween(old.catalog, next.catalog))
	if tried {
		b.markReady()
	}
}

// prepare brings the items of a server up to date with its lists.
func (b *Broker) prepare(s *server, snap *upstream.Snapshot) {
	if s.items != nil && s.lists == snap.Lists {
		return
	}
	s.lists = snap.Lists
	s.items = catalog.Prepare(catalog.Lists(*snap.Lists), s.config.Prefix, s.config.Label)
	for _, f := range s.items.Faults() {
		b.log.Warn("server lists an item that is left out", zap.String("server", s.config.Name),
			zap.Stringer("list", f.Kind), zap.Int("index", f.Index), zap.String("reason", f.Reason))
	}
}

func (s *server) route(snap *upstream.Snapshot) gatewayconfig.TableServer {
	return gatewayconfig.TableServer{
		Name: s.config.Name, Authority: s.authority, Path: s.path,
		Prefix: s.config.Prefix, Label: s.config.Label,
		Listed: snap.Listed,
		// Until the server has said what it offers, it may offer anything.
		Resources: snap.Resources || snap.Version == "",
	}
}

func (b *Broker) logConflicts(old, next *catalog.Catalog) {
	for _, c := range next.Conflicts() {
		if !slices.Contains(old.Conflicts(), c) {
			b.log.Warn("name is taken, the item is left out", zap.String("server", c.Server),
				zap.Stringer("list", c.Kind), zap.String("name", c.Name), zap.String("owner", c.Owner))
		}
	}
}

func changesBetween(old, next *catalog.Catalog) changes {
	var c changes
	if next.Differs(catalog.Tools, old) {
		c |= toolsChanged
	}
	if next.Differs(catalog.Prompts, old) {
		c |= promptsChanged
	}
	if next.Differs(catalog.Resources, old) || next.Differs(catalog.Templates, old) {
		c |= resourcesChanged
	}
	return c
}
