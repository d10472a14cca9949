// Package integrity decides what of a server's lists is offered, by what was
// trusted: a definition that has changed, is new, or looks like an attack is told
// to the operator, withheld until it is approved, or takes its whole server along,
// as the configuration says. What is trusted is in a lock file, or is what was
// seen first, kept in a Store.
package integrity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
	"mcp-gateway/internal/scan"
)

// Store keeps what was seen first, and what was approved since. Several replicas
// may share one. Every method is safe for concurrent use.
type Store interface {
	// Load returns the pins of a server, which are not to be changed; an empty set
	// for none.
	Load(ctx context.Context, server string) (pin.Set, error)
	// First adds the kinds that the server has no pins of yet. What others have
	// added first stays.
	First(ctx context.Context, server string, set pin.Set) error
	// Put adds or replaces entries, and tells the other replicas.
	Put(ctx context.Context, server string, entries map[pin.Item]pin.Entry) error
	// Changes names the servers whose pins anybody has changed, an empty name for
	// any, until ctx ends. What is lost on the way is found with the next Load.
	Changes(ctx context.Context) <-chan string
}

// Options are those of a Keeper.
type Options struct {
	// Shared is the store of several replicas; nil for none.
	Shared Store
	// Changed is called when Judge may have other verdicts.
	Changed func()
	Log     *zap.Logger
}

// Keeper knows what was trusted, and judges what servers list. Safe for concurrent
// use.
type Keeper struct {
	o    Options
	wake chan struct{} // holds a token while a server may have work due

	mu       sync.Mutex
	settings gatewayconfig.Integrity
	lock     pin.Lock // of settings, if they are locked
	store    Store    // nil with a lock
	state    string   // path of store, if it is a file
	servers  map[string]*server
	judged   *judged
}

// server is what is known of one. Guarded by Keeper.mu.
type server struct {
	// pins were trusted; known tells that they were read. Replaced, not changed.
	pins  pin.Set
	known bool
	// due is what is to be done with the store.
	load  bool
	first pin.Set
	trust map[pin.Item]pin.Entry

	looked  map[pin.Item]looked
	verdict *Verdict
	failed  bool // the store, the last time
}

// looked is an item that was looked at.
type looked struct {
	raw    []byte
	hash   string // empty for a kind without pins
	result scan.Result
}

// New returns a Keeper that watches nothing until Configure. Run must be called.
func New(o Options) *Keeper {
	return &Keeper{o: o, wake: make(chan struct{}, 1), servers: map[string]*server{}}
}

// Configure replaces the settings. After an error nothing has changed.
func (k *Keeper) Configure(settings gatewayconfig.Integrity) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if reflect.DeepEqual(settings, k.settings) {
		return nil
	}
	var lock pin.Lock
	if settings.Pins.Locked && settings.Pins.On() {
		var err error
		if lock, err = pin.Parse([]byte(settings.Pins.Lock)); err != nil {
			return fmt.Errorf("lock file: %w", err)
		}
	}
	before := k.store
	switch {
	case !settings.Pins.On() || settings.Pins.Locked:
		k.store = nil
	case k.o.Shared != nil:
		k.store = k.o.Shared
	case k.store == nil || k.state != settings.Pins.State:
		k.store = NewFile(settings.Pins.State)
	}
	k.state = settings.Pins.State
	looksElse := settings.Pins.On() != k.settings.Pins.On() || (settings.Scan == gatewayconfig.ReactOff) != (k.settings.Scan == gatewayconfig.ReactOff)
	k.settings, k.lock, k.judged = settings, lock, nil
	for name, s := range k.servers {
		if looksElse {
			s.looked = nil
		}
		k.begin(name, s, before != k.store)
	}
	k.work()
	return nil
}

// begin has the pins of a server read, unless the lock file has them.
func (k *Keeper) begin(name string, s *server, anew bool) {
	switch {
	case k.settings.Pins.Locked:
		s.pins, s.known = k.lock[name], true
	case k.store != nil && (anew || !s.known):
		s.pins, s.known, s.load = nil, false, true
		k.work()
	}
	s.first, s.trust = nil, nil
}

// work wakes Run.
func (k *Keeper) work() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Errors of Approve.
var (
	ErrOff     = errors.New("pins are off (integrity.pins.onChange): nothing can be approved")
	ErrLocked  = errors.New("what is trusted is what the lock file says: approve it there, with --config or --lock")
	ErrUnknown = errors.New("the server lists no such item")
	ErrStale   = errors.New("the definition has changed again since it was shown")
)

// Approval says which definition of an item is trusted.
type Approval struct {
	Server string   `json:"server"`
	Kind   pin.Kind `json:"kind"`
	Name   string   `json:"name"`
	// Hash is that of the definition that was seen.
	Hash string `json:"hash"`
}

// Approve trusts definitions as they are now, with what the scan finds in them:
// all, or none after an error.
func (k *Keeper) Approve(ctx context.Context, approvals []Approval) error {
	entries, store, err := k.entries(approvals)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := store.Put(ctx, name, entries[name]); err != nil {
			return fmt.Errorf("keep what was approved of server %s: %w", name, err)
		}
		k.mu.Lock()
		if s := k.servers[name]; s != nil && s.known && k.store == store {
			s.pins = with(s.pins, entries[name])
			k.judged = nil
		}
		k.mu.Unlock()
		for i := range entries[name] {
			k.o.Log.Info("definition approved", zap.String("server", name), zap.String("list", string(i.Kind)), zap.String("name", pin.Excerpt(i.Name, 100)))
		}
	}
	k.o.Changed()
	return nil
}

func with(pins pin.Set, entries map[pin.Item]pin.Entry) pin.Set {
	out := pins.Clone()
	if out == nil {
		out = pin.Set{}
	}
	for i, e := range entries {
		out.Put(i, e)
	}
	return out
}

// entries are what approvals trust, by server.
func (k *Keeper) entries(approvals []Approval) (map[string]map[pin.Item]pin.Entry, Store, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.settings.Pins.On():
		return nil, nil, ErrOff
	case k.settings.Pins.Locked:
		return nil, nil, ErrLocked
	}
	out := map[string]map[pin.Item]pin.Entry{}
	for _, a := range approvals {
		item := pin.Item{Kind: a.Kind, Name: a.Name}
		what := fmt.Sprintf("%s %s %s", a.Server, a.Kind, pin.Excerpt(a.Name, 100))
		s := k.servers[a.Server]
		if s == nil {
			return nil, nil, fmt.Errorf("%s: %w", what, ErrUnknown)
		}
		l, ok := s.looked[item]
		switch {
		case !ok || l.hash == "":
			return nil, nil, fmt.Errorf("%s: %w", what, ErrUnknown)
		case l.hash != a.Hash:
			return nil, nil, fmt.Errorf("%s: %w", what, ErrStale)
		}
		e := pin.Of(l.raw)
		e.Accepted = accepted(k.findings(a.Server, item))
		if out[a.Server] == nil {
			out[a.Server] = map[pin.Item]pin.Entry{}
		}
		out[a.Server][item] = e
	}
	return out, k.store, nil
}

// accepted are the checks of findings, sorted.
func accepted(findings []scan.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Check))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// findings are all that there are now in an item, accepted ones too. Called under
// mu.
func (k *Keeper) findings(name string, i pin.Item) []scan.Finding {
	s := k.servers[name]
	all := s.looked[i].result.Findings
	if k.judged != nil {
		all = slices.Concat(all, k.judged.across[name][i])
	}
	return all
}

// keyOf names an item. That of a resource is in no Set.
func keyOf(k catalog.Kind, own string) pin.Item {
	return pin.Item{Kind: pin.Kind(k.String()), Name: own}
}

// nameMember is the member that names an item of a list.
func nameMember(k catalog.Kind) string {
	switch k {
	case catalog.Resources:
		return "uri"
	case catalog.Templates:
		return "uriTemplate"
	}
	return "name"
}

// allowed reports whether the findings of a check do not count for a server.
func allowed(settings *gatewayconfig.Integrity, server string, check scan.Check) bool {
	return slices.Contains(settings.ScanAllow[server], string(check)) || slices.Contains(settings.ScanAllow["*"], string(check))
}

func joined(findings []scan.Finding) string {
	var parts []string
	for _, f := range findings {
		parts = append(parts, string(f.Check)+" at "+f.Where+": "+f.Detail)
	}
	return strings.Join(parts, "; ")
}
