package gateway

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
	"mcp-gateway/internal/scan"
)

// Integrity says what is made of what servers say of their tools, prompts and
// resource templates, if it changes or looks wrong.
type Integrity struct {
	Pins Pins
	// Scan is for what a scan finds: off, warn or quarantine.
	Scan gatewayconfig.Reaction
	// ScanAllow has, by the name of a server or "*" for all, checks whose findings
	// are of no interest.
	ScanAllow map[string][]string
}

// Pins say what is made of definitions that are not those that were trusted.
type Pins struct {
	// OnChange is off, warn, quarantine or block. OnNew, for items that were not
	// there, may be trust, too; empty is as OnChange.
	OnChange, OnNew gatewayconfig.Reaction
	// File is the lock file's path, Lock its text: it says what is trusted. Without
	// one that is what is seen first.
	File, Lock string
	// State is where that is kept, the absolute path of a file; empty means in the
	// sessions' Redis, or in memory.
	State string
}

// anyServer stands for all servers in ScanAllow.
const anyServer = "*"

func (v *validation) integrity(g *Gateway) {
	p := &g.Integrity.Pins
	const at = "integrity.pins"
	v.reaction(at+".onChange", p.OnChange, gatewayconfig.ReactOff, gatewayconfig.ReactWarn, gatewayconfig.ReactQuarantine, gatewayconfig.ReactBlock)
	if p.OnNew != "" {
		v.reaction(at+".onNew", p.OnNew, gatewayconfig.ReactTrust, gatewayconfig.ReactWarn, gatewayconfig.ReactQuarantine, gatewayconfig.ReactBlock)
	}
	v.reaction("integrity.scan", g.Integrity.Scan, gatewayconfig.ReactOff, gatewayconfig.ReactWarn, gatewayconfig.ReactQuarantine)
	off := p.OnChange == gatewayconfig.ReactOff
	redis := g.Sessions.Store != StoreMemory && g.Sessions.Store != StoreToken
	projected := g.integrity()
	switch {
	case off && p.OnNew != "":
		v.errorf(at+".onNew", "has no effect: onChange is off")
	case off && p.File != "":
		v.warnf(at+".file", "has no effect: onChange is off")
	case p.File != "" && p.State != "":
		v.errorf(at+".state", "the lock file says what is trusted: keep one of file and state")
	case p.State != "" && redis:
		v.errorf(at+".state", "what is trusted is kept in the sessions' Redis: leave it out")
	case p.State != "" && (!filepath.IsAbs(p.State) || strings.ContainsRune(p.State, 0)):
		v.errorf(at+".state", "%q is no absolute path", p.State)
	case !off && projected.Pins.Strict() && p.File == "" && p.State == "" && !redis:
		v.errorf(at+".onChange", "what is trusted would be forgotten with the broker: give it a place, file (a lock file), state (a file of the broker's) or sessions.store (a Redis)")
	}
	if p.File != "" && !off {
		v.lock(g)
	}
	v.scanAllow(g)
}

func (v *validation) reaction(at string, r gatewayconfig.Reaction, of ...gatewayconfig.Reaction) {
	if slices.Contains(of, r) {
		return
	}
	var words []string
	for _, o := range of {
		words = append(words, string(o))
	}
	last := len(words) - 1
	v.errorf(at, "%q: want %s or %s", string(r), strings.Join(words[:last], ", "), words[last])
}

// lock reads the lock file: a broken one trusts nothing.
func (v *validation) lock(g *Gateway) {
	const at = "integrity.pins.file"
	lock, err := pin.Parse([]byte(g.Integrity.Pins.Lock))
	if err != nil {
		v.errorf(at, "%s %s", g.Integrity.Pins.File, strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	known := map[string]bool{}
	for _, s := range g.Servers {
		known[s.Name] = true
		if s.Enabled && lock[s.Name] == nil {
			v.warnf(at, "has nothing of server %s: all of it counts as new. See mcp-gateway pin", s.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lock)) {
		if !known[name] {
			v.warnf(at, "has pins of %q, which is no server", name)
		}
	}
}

func (v *validation) scanAllow(g *Gateway) {
	known := map[string]bool{anyServer: true}
	for _, s := range g.Servers {
		known[s.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(g.Integrity.ScanAllow)) {
		at := "integrity.scanAllow." + name
		if !known[name] {
			v.errorf(at, "%q is no server", name)
		}
		for i, check := range g.Integrity.ScanAllow[name] {
			if !scan.Known(check) {
				v.errorf(index(at, i), "%q is no check of the scan; there are %s", check, checks())
			}
		}
	}
}

func checks() string {
	var all []string
	for _, c := range scan.Checks {
		all = append(all, string(c))
	}
	return strings.Join(all, ", ")
}

// integrity projects it.
func (g *Gateway) integrity() gatewayconfig.Integrity {
	p := g.Integrity.Pins
	return gatewayconfig.Integrity{
		Pins: gatewayconfig.Pins{
			OnChange: p.OnChange, OnNew: p.OnNew, Locked: p.File != "", Lock: p.Lock, State: p.State,
		},
		Scan: g.Integrity.Scan, ScanAllow: maps.Clone(g.Integrity.ScanAllow),
	}
}
