package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"mcp-gateway/broker/bridge"
	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/policy"
)

// server is one configured server. Guarded by Broker.mu.
type server struct {
	config    gatewayconfig.Server
	authority string               // of the URL, or as overridden
	path      string               // with the query
	sends     *gatewayconfig.Sends // what Envoy sends it; nil for nothing of its own
	upstream  *upstream.Server
	bridge    *bridge.Bridge // nil for a server that Envoy reaches itself
	cancel    context.CancelFunc

	// items were prepared from lists, as config has it; offered are those of them
	// that verdict lets pass.
	lists          *upstream.Lists
	items, offered *catalog.Items
	verdict        *integrity.Verdict
	judged         *catalog.Items // with verdict
}

// view is what requests are served from. Immutable.
type view struct {
	configured bool
	config     gatewayconfig.Broker
	limits     gatewayconfig.Limits // of config, complete
	servers    map[string]*upstream.Server
	places     map[string]string // names of servers by upstream.Server.Place
	bridges    map[string]*bridge.Bridge
	merged     []catalog.Server // what catalog was merged from
	catalog    *catalog.Catalog
	policy     *policy.Policy // nil lets everybody use everything
	parts      *parts         // of catalog, by policy
	// endpoints by the names of their views.
	endpoints map[string]endpoint
	// wants is what of callers the servers are sent.
	wants wants
	// applied is the configuration's number, see Broker.applied.
	applied int
	// seen are the snapshots that the view was made from, in the servers' order.
	seen []*upstream.Snapshot
	// verdicts on these servers; blocked are those that config and all else here
	// know nothing of, until they are approved.
	verdicts []*integrity.Verdict
	blocked  []blocked
	// replaced is closed when there is a newer view.
	replaced chan struct{}
}

func emptyView() *view {
	return &view{limits: gatewayconfig.DefaultLimits(), replaced: make(chan struct{}), catalog: catalog.Merge(nil, catalog.Options{})}
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
	rules, err := b.compile(config)
	if err != nil {
		return fmt.Errorf("broker: apply: %w", err)
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
			if config.NameLimit != b.config.NameLimit || config.Limits.ItemsPerServer != b.config.Limits.ItemsPerServer || !reflect.DeepEqual(cfg, kept.config) {
				kept.lists, kept.items = nil, nil
			}
			if next := sendsOf(cfg); !kept.sends.Equal(next) {
				kept.sends = next
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
	if len(errs) == 0 {
		errs = append(errs, b.integrity.Configure(config.Integrity))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("broker: apply: %w", err)
	}

	for _, s := range old {
		if !slices.ContainsFunc(next, func(n *server) bool { return n.upstream == s.upstream }) {
			s.cancel()
			b.pool.Drop(s.upstream)
		}
	}
	for _, s := range begun {
		ctx, cancel := context.WithCancel(b.life)
		s.cancel = cancel
		b.running.Go(func() { s.upstream.Run(ctx) })
		b.keepBridge(ctx, s.bridge)
	}
	limits := config.Limits.Complete()
	for _, s := range next {
		s.upstream.SetOpenings(limits.Openings, limits.WaitingOpenings)
	}
	b.config, b.servers, b.policy = config, next, rules
	b.applied++
	b.remake()
	b.beginGrace()
	b.hub.lookAll()
	b.log.Info("configuration applied", zap.Int("servers", len(next)), zap.Int("new", len(begun)))
	return nil
}

// sameConnection reports whether a server is reached in the same way. Prefix
// and label are the gateway's business.
func sameConnection(a, b gatewayconfig.Server) bool {
	return a.URL == b.URL && a.Host == b.Host && a.CACert == b.CACert && a.ListTimeout == b.ListTimeout && cmp.Or(a.Era, gatewayconfig.EraAuto) == cmp.Or(b.Era, gatewayconfig.EraAuto) && maps.Equal(a.Headers, b.Headers) && a.Credential == b.Credential &&
		a.OAuth.Equal(b.OAuth) && a.Exchange.Equal(b.Exchange) && slices.Equal(a.ForwardHeaders, b.ForwardHeaders) && a.Bridge.Equal(b.Bridge)
}

func (b *Broker) newServer(config gatewayconfig.Broker, cfg gatewayconfig.Server, before *server) (*server, error) {
	o := upstream.Options{
		Name: config.Name, Version: config.Version,
		Log: b.log, Changed: b.refresh, Transport: b.opts.Transport, Roots: b.opts.Roots,
		Source: b.sourceOf(cfg),
	}
	if before != nil {
		o.Before = before.upstream.Snapshot()
	}
	reached, local := cfg, b.newBridge(config, cfg)
	if local != nil {
		reached, o.Transport, o.Source = bridged(cfg), bridge.Transport(local), nil // is the bridge's
	}
	up, err := upstream.New(reached, o)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(reached.URL)
	if err != nil {
		return nil, fmt.Errorf("server %s: url is no URL", cfg.Name)
	}
	s := &server{config: cfg, authority: u.Host, path: u.RequestURI(), upstream: up, bridge: local, sends: sendsOf(cfg)}
	if reached.Host != "" {
		s.authority = reached.Host
	}
	return s, nil
}

// refresh makes a new view after a change of a server. Of many calls at once
// one does the work.
func (b *Broker) refresh() {
	defer rescue.From(b.log, new(error)) // the view before stays
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
		config:     b.config,
		policy:     b.policy,
		limits:     b.config.Limits.Complete(),
		applied:    b.applied,
		wants:      wantsOf(b.config.Servers),
		replaced:   make(chan struct{}),
		servers:    make(map[string]*upstream.Server, len(b.servers)),
		places:     make(map[string]string, len(b.servers)),
		bridges:    make(map[string]*bridge.Bridge),
	}
	tried := true
	judged := b.judge()
	next.config.Servers = nil
	for i, s := range b.servers {
		snap := judged[i]
		tried = tried && snap.State != upstream.Connecting && (s.verdict == nil || !s.verdict.Pending)
		if s.verdict != nil && s.verdict.Blocked {
			next.blocked = append(next.blocked, blocked{s.config, snap, s.verdict})
			continue
		}
		next.config.Servers = append(next.config.Servers, s.config)
		next.verdicts = append(next.verdicts, s.verdict)
		next.servers[s.config.Name] = s.upstream
		next.places[s.upstream.Place()] = s.config.Name
		if s.bridge != nil {
			next.bridges[s.config.Name] = s.bridge
		}
		next.seen = append(next.seen, snap)
		next.merged = append(next.merged, s.listed(snap, b.config.Integrity.Strict()))
	}
	if old.applied == next.applied && slices.Equal(old.merged, next.merged) {
		next.catalog, next.parts = old.catalog, old.parts
	} else {
		next.parts = &parts{}
		next.catalog = catalog.Merge(next.merged, catalog.Options{
			Views: b.config.Views, NameLimit: b.config.NameLimit, PageSize: b.config.PageSize,
			Authorization: b.config.Authorization, Hints: b.policy.ReadsHints(),
			TaskKey: b.keyOfTasks(b.config), VersionKey: b.versionKey,
		})
		b.logNames(old.catalog, next.catalog)
	}
	told := make([]*upstream.Snapshot, len(next.seen))
	for i, snap := range next.seen {
		told[i] = heard(snap, next.verdicts[i])
	}
	next.endpoints = endpointsOf(next.config, told, next.catalog)
	b.view.Store(next)
	close(old.replaced)
	b.hub.announce(changesBetween(old, next))
	b.hub.repeat(announcedBetween(old, next))
	if !old.sameEras(next) || !old.sameBlocked(next) {
		b.hub.lookAll() // streams are joined in one era and observed in the other
	}
	if tried {
		b.markReady()
	}
}

// prepare brings the items of a server up to date with its lists.
func (b *Broker) prepare(s *server, snap *upstream.Snapshot) {
	if s.items != nil && s.lists == snap.Lists {
		return
	}
	known := s.items.Faults()
	s.lists = snap.Lists
	s.items = catalog.Prepare(catalog.Lists(*snap.Lists), s.config, catalog.Limits{
		Name: b.config.NameLimit, Items: b.config.Limits.Complete().ItemsPerServer,
	})
	for _, f := range added(known, s.items.Faults()) {
		b.log.Warn("server lists an item that is left out", zap.String("server", s.config.Name),
			zap.Stringer("list", f.Kind), zap.Int("index", f.Index), zap.String("reason", f.Reason))
	}
}

// listed returns the server for the catalog: what lists do while it fails is its
// configuration's to say. It fails, too, as long as it has listed nothing.
//
// If items may be withheld nothing is offered of a server before its lists were
// looked at:
// they count as read, with nothing in them.
func (s *server) listed(snap *upstream.Snapshot, strict bool) catalog.Server {
	out := catalog.Server{Route: s.route(snap), Items: s.offered}
	out.Route.Listed = out.Route.Listed || strict
	if snap.State != upstream.Failed && snap.Listed {
		return out
	}
	switch s.config.Partial {
	case gatewayconfig.PartialSkip:
		out.Hidden = true
	case gatewayconfig.PartialFail:
		out.Failing = offered(snap)
	}
	return out
}

// offered returns the lists that the server has, or may turn out to have.
func offered(snap *upstream.Snapshot) catalog.Kinds {
	if snap.Version == "" {
		return catalog.Set(catalog.Tools, catalog.Prompts, catalog.Resources, catalog.Templates)
	}
	var set catalog.Kinds
	if snap.Tools {
		set |= catalog.Set(catalog.Tools)
	}
	if snap.Prompts {
		set |= catalog.Set(catalog.Prompts)
	}
	if snap.Resources {
		set |= catalog.Set(catalog.Resources, catalog.Templates)
	}
	return set
}

func (s *server) route(snap *upstream.Snapshot) gatewayconfig.TableServer {
	at := gatewayconfig.Route{Authority: s.authority, Path: s.path}
	if s.config.Route != nil && s.bridge == nil {
		at = *s.config.Route
	}
	return gatewayconfig.TableServer{
		Name: s.config.Name, Cluster: s.config.Cluster, Authority: at.Authority, Path: at.Path,
		Prefix: s.config.Prefix, Label: s.config.Label,
		Listed: snap.Listed, OnConflict: s.config.OnConflict,
		// Until the server has said what it offers, it may offer anything.
		Resources: snap.Resources || snap.Version == "",
		Modern:    snap.Modern, ModernOnly: snap.Modern && !snap.Legacy,
		Sends: s.sends,
	}
}

// logNames tells of what clients will not find, or not under its own name.
func (b *Broker) logNames(old, next *catalog.Catalog) {
	for _, c := range added(old.Conflicts(), next.Conflicts()) {
		b.log.Warn("name is taken, the item is left out", zap.String("server", c.Server),
			zap.Stringer("list", c.Kind), zap.String("name", c.Name), zap.String("owner", c.Owner))
	}
	for _, r := range added(old.Renamed(), next.Renamed()) {
		b.log.Warn("name is too long or has characters that models refuse, it is changed", zap.String("server", r.Server),
			zap.Stringer("list", r.Kind), zap.String("name", r.Own), zap.String("exposed", r.Exposed))
	}
}

// added returns what is in next only.
func added[T comparable](old, next []T) []T {
	known := make(map[T]bool, len(old))
	for _, v := range old {
		known[v] = true
	}
	var out []T
	for _, v := range next {
		if !known[v] {
			out = append(out, v)
		}
	}
	return out
}
