package integrity

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
	"mcp-gateway/internal/scan"
)

// Server is what a server lists now.
type Server struct {
	Name  string
	Lists *catalog.Lists
	// Instructions are its own words, empty for none.
	Instructions string
	// Items are those of Lists that the configuration admits. The same pointer
	// means the same items.
	Items *catalog.Items
	// Listed tells that tools and prompts were read once, Complete that all lists
	// are current.
	Listed, Complete bool
	OnConflict       bool
}

// Why an item is not simply offered.
type Why string

// The reasons. An item with findings of the scan has none of its own if its
// definition is the one that was trusted.
const (
	WhyChanged Why = "changed" // is not what it was
	WhyNew     Why = "new"     // was not there
	WhyUnread  Why = "unread"  // what was trusted is not known
	WhyFound   Why = "scan"    // only the scan has something to say
)

// Notice is an item that the operator is told of.
type Notice struct {
	Kind pin.Kind // of a list, also of resources
	// Name is the server's.
	Name     string
	Why      Why
	Withheld bool
	// Members are the paths of what has changed.
	Members  []string
	Findings []scan.Finding
}

// Verdict is what is made of a server. Immutable: the same pointer as before says
// that nothing has changed. The nil Verdict offers everything.
type Verdict struct {
	// Blocked tells that nothing of the server is offered.
	Blocked bool
	// Pending tells that what was trusted is still being read or written.
	Pending bool
	// Withheld are items that are not offered; Mute tells that the instructions are
	// not, either.
	Withheld catalog.Withheld
	Mute     bool
	// Notices are in the order of the lists.
	Notices []Notice
}

// judged is what Judge has found, for as long as nothing changes.
type judged struct {
	of       []Server
	verdicts []*Verdict
	across   map[string]map[pin.Item][]scan.Finding
}

var kinds = []catalog.Kind{catalog.Tools, catalog.Prompts, catalog.Resources, catalog.Templates}

// Judge returns a verdict on each server. It waits for no store: what has to be
// read or written first leaves the verdict pending, and Changed is called then.
func (k *Keeper) Judge(servers []Server) []*Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.settings.On() {
		k.servers, k.judged = map[string]*server{}, nil
		return make([]*Verdict, len(servers))
	}
	k.meet(servers)
	if j := k.judged; j != nil && slices.Equal(j.of, servers) {
		return j.verdicts
	}
	next := &judged{of: slices.Clone(servers), verdicts: make([]*Verdict, len(servers))}
	for i := range servers {
		k.look(&servers[i])
	}
	next.across = k.across(servers)
	for i := range servers {
		s := k.servers[servers[i].Name]
		v := k.judge(&servers[i], s, next.across[servers[i].Name])
		if s.verdict == nil || !reflect.DeepEqual(s.verdict, v) {
			k.report(servers[i].Name, s.verdict, v)
			s.verdict = v
		}
		next.verdicts[i] = s.verdict
	}
	k.judged = next
	return next.verdicts
}

// meet keeps the servers that there are.
func (k *Keeper) meet(servers []Server) {
	next := make(map[string]*server, len(servers))
	for _, s := range servers {
		known := k.servers[s.Name]
		if known == nil {
			known = &server{}
			k.begin(s.Name, known, true)
			k.judged = nil
		}
		next[s.Name] = known
	}
	if len(next) != len(k.servers) {
		k.judged = nil
	}
	k.servers = next
}

// subject is what is judged: an item of a list, or the instructions.
type subject struct {
	key    pin.Item
	pinned bool // can be
	raw    []byte
	// member names it in raw.
	member string
	// list and index tell where it is, but for the instructions.
	list  catalog.Kind
	index int
}

// subjects calls f for all that a server says. Of items with one name the first
// counts, which alone can be listed.
func subjects(in *Server, f func(subject)) {
	for _, kind := range kinds {
		raws := in.Lists.Of(kind)
		in.Items.Each(kind, func(index int, own, _ string) {
			f(subject{keyOf(kind, own), kind != catalog.Resources, raws[index], nameMember(kind), kind, index})
		})
	}
	if in.Instructions != "" {
		raw, err := json.Marshal(map[string]string{"instructions": in.Instructions})
		if err != nil {
			panic("integrity: a string cannot be encoded: " + err.Error())
		}
		f(subject{key: pin.OfServer, pinned: true, raw: raw})
	}
}

// look looks at what a server says that was not seen before.
func (k *Keeper) look(in *Server) {
	s := k.servers[in.Name]
	next := make(map[pin.Item]looked)
	subjects(in, func(it subject) {
		if _, twice := next[it.key]; twice {
			return
		}
		if before, ok := s.looked[it.key]; ok && bytes.Equal(before.raw, it.raw) {
			next[it.key] = before
			return
		}
		l := looked{raw: it.raw}
		if k.settings.Pins.On() && it.pinned {
			l.hash = pin.Of(it.raw).Hash
		}
		if k.scans() {
			l.result = scan.Definition(it.raw, it.member)
		}
		next[it.key] = l
	})
	s.looked = next
}

func (k *Keeper) scans() bool {
	return k.settings.Scan != "" && k.settings.Scan != gatewayconfig.ReactOff
}

// across compares the tools of all servers, and their prompts.
func (k *Keeper) across(servers []Server) map[string]map[pin.Item][]scan.Finding {
	out := make(map[string]map[pin.Item][]scan.Finding)
	if !k.scans() || len(servers) < 2 {
		return out
	}
	for _, kind := range []catalog.Kind{catalog.Tools, catalog.Prompts} {
		all := make([]scan.Server, len(servers))
		for i, in := range servers {
			all[i] = scan.Server{Name: in.Name, OnConflict: in.OnConflict}
			in.Items.Each(kind, func(_ int, own, exposed string) {
				all[i].Items = append(all[i].Items, scan.Item{Own: own, Exposed: exposed, Result: k.servers[in.Name].looked[keyOf(kind, own)].result})
			})
			if said, ok := k.servers[in.Name].looked[pin.OfServer]; ok && kind == catalog.Tools {
				all[i].Items = append(all[i].Items, scan.Item{Result: said.result})
			}
		}
		for i, found := range scan.Across(all) {
			for j, findings := range found {
				if out[servers[i].Name] == nil {
					out[servers[i].Name] = make(map[pin.Item][]scan.Finding)
				}
				key := pin.OfServer
				if all[i].Items[j].Exposed != "" {
					key = keyOf(kind, all[i].Items[j].Own)
				}
				out[servers[i].Name][key] = findings
			}
		}
	}
	return out
}

// judge makes the verdict on a server.
func (k *Keeper) judge(in *Server, s *server, across map[pin.Item][]scan.Finding) *Verdict {
	v := &Verdict{}
	first := k.firstUse(in, s)
	subjects(in, func(it subject) {
		n := Notice{Kind: it.key.Kind, Name: it.key.Name}
		l := s.looked[it.key]
		old, known := s.pins.Get(it.key)
		reaction := gatewayconfig.ReactOff
		if it.pinned && k.settings.Pins.On() {
			reaction = k.compare(s, it, l, first, &n)
		}
		for _, f := range slices.Concat(l.result.Findings, across[it.key]) {
			if !allowed(&k.settings, in.Name, f.Check) && (old.Hash != l.hash || l.hash == "" || !old.Accepts(string(f.Check))) {
				n.Findings = append(n.Findings, f)
			}
		}
		if len(n.Findings) > 0 && n.Why == "" {
			n.Why = WhyFound
		}
		n.Withheld = reaction.Withholds() || len(n.Findings) > 0 && k.settings.Scan.Withholds()
		if n.Withheld {
			v.withhold(it, known)
		}
		v.Blocked = v.Blocked || reaction == gatewayconfig.ReactBlock
		if n.Why != "" {
			v.Notices = append(v.Notices, n)
		}
	})
	if s.first = nil; len(first) > 0 {
		s.first = first
		k.work()
	}
	v.Pending = k.settings.Pins.Strict() && (!s.known || len(first) > 0)
	return v
}

func (v *Verdict) withhold(it subject, known bool) {
	if it.key == pin.OfServer {
		v.Mute = true
		return
	}
	if v.Withheld == nil {
		v.Withheld = catalog.Withheld{}
	}
	if v.Withheld[it.list] == nil {
		v.Withheld[it.list] = map[int]bool{}
	}
	v.Withheld[it.list][it.index] = known
}

// firstUse returns the kinds that a server is trusted with now, still empty.
func (k *Keeper) firstUse(in *Server, s *server) pin.Set {
	first := pin.Set{}
	for _, kind := range pin.Kinds {
		if k.firstOf(s, kind) && (in.Complete || in.Listed && kind != pin.Templates) {
			first[kind] = map[string]pin.Entry{}
		}
	}
	return first
}

// firstOf reports whether a server was not trusted with a kind yet.
func (k *Keeper) firstOf(s *server, kind pin.Kind) bool {
	return k.settings.Pins.On() && !k.settings.Pins.Locked && s.known && !s.pins.Has(kind)
}

// compare holds an item against what was trusted, and says in n what there is to
// say. With first use the item goes into first.
func (k *Keeper) compare(s *server, it subject, l looked, first pin.Set, n *Notice) gatewayconfig.Reaction {
	if !s.known || k.firstOf(s, it.key.Kind) {
		if items := first[it.key.Kind]; items != nil {
			if _, twice := items[it.key.Name]; !twice {
				items[it.key.Name] = pin.Of(it.raw)
			}
		}
		if !k.settings.Pins.Strict() {
			return gatewayconfig.ReactOff
		}
		n.Why = WhyUnread
		return gatewayconfig.ReactQuarantine
	}
	old, known := s.pins.Get(it.key)
	switch {
	case !known && k.settings.Pins.New() == gatewayconfig.ReactTrust:
		k.trust(s, it.key, it.raw)
		return gatewayconfig.ReactOff
	case !known:
		n.Why = WhyNew
		return k.settings.Pins.New()
	case old.Hash != l.hash:
		n.Why, n.Members = WhyChanged, pin.Members(pin.Changes(old, pin.Of(l.raw)))
		return k.settings.Pins.OnChange
	}
	return gatewayconfig.ReactOff
}

// trust has a new item kept as trusted.
func (k *Keeper) trust(s *server, key pin.Item, raw []byte) {
	if k.store == nil {
		return
	}
	if s.trust == nil {
		s.trust = make(map[pin.Item]pin.Entry)
	}
	s.trust[key] = pin.Of(raw)
	k.work()
}

// mostLogged bounds the lines for one verdict.
const mostLogged = 20

// report logs what a verdict has brought.
func (k *Keeper) report(name string, before, v *Verdict) {
	log := k.o.Log.With(zap.String("server", name))
	known := make(map[string]Notice)
	if before != nil {
		for _, n := range before.Notices {
			known[string(n.Kind)+" "+n.Name] = n
		}
	}
	told := 0
	for _, n := range v.Notices {
		key := string(n.Kind) + " " + n.Name
		was, had := known[key]
		delete(known, key)
		if had && reflect.DeepEqual(was, n) || n.Why == WhyUnread {
			continue
		}
		if told++; told > mostLogged {
			continue
		}
		fields := []zap.Field{zap.String("list", string(n.Kind)), zap.String("name", pin.Excerpt(n.Name, 100)), zap.String("why", string(n.Why)), zap.Bool("withheld", n.Withheld)}
		if len(n.Members) > 0 {
			fields = append(fields, zap.Strings("changed", n.Members[:min(len(n.Members), 10)]))
		}
		if len(n.Findings) > 0 {
			fields = append(fields, zap.String("found", joined(n.Findings[:min(len(n.Findings), 3)])))
		}
		if k.settings.Pins.On() && n.Kind != pin.Kind(catalog.Resources.String()) { // those have no pins
			fields = append(fields, zap.String("see", "mcp-gateway diff; to trust it, mcp-gateway approve"))
		}
		log.Warn("definition is not to be trusted as it is", fields...)
	}
	if told > mostLogged {
		log.Warn("more definitions are not to be trusted as they are, see /status", zap.Int("more", told-mostLogged))
	}
	if was := before != nil && before.Blocked; was != v.Blocked {
		if v.Blocked {
			log.Warn("server is blocked until its definitions are approved")
		} else {
			log.Info("server is not blocked any more")
		}
	}
}
