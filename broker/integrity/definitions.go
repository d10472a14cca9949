package integrity

import (
	"maps"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

// Definition is an item that a server lists, beside what was trusted of it.
type Definition struct {
	Server string   `json:"server"`
	Kind   pin.Kind `json:"kind"`
	Name   string   `json:"name"`
	// Why is empty for one that is trusted as it is.
	Why      Why      `json:"why,omitempty"`
	Withheld bool     `json:"withheld,omitempty"`
	Findings []Detail `json:"findings,omitempty"`
	// Pinned was trusted, Current is what there is, each with the checks whose
	// findings are accepted, or would be by approving it.
	Pinned  *pin.Entry `json:"pinned,omitempty"`
	Current pin.Entry  `json:"current"`
}

// Detail is a scan.Finding.
type Detail struct {
	Check  string `json:"check"`
	Where  string `json:"where"`
	Detail string `json:"detail"`
}

// Details are the findings of n.
func (n *Notice) Details() []Detail {
	var out []Detail
	for _, f := range n.Findings {
		out = append(out, Detail{string(f.Check), f.Where, f.Detail})
	}
	return out
}

// Overview is all that servers list of what can be pinned.
type Overview struct {
	// OnChange is what is made of changes; Locked tells that a lock file says what
	// is trusted.
	OnChange gatewayconfig.Reaction `json:"onChange"`
	Locked   bool                   `json:"locked,omitempty"`
	// Servers are the names of all whose lists are looked at, sorted.
	Servers []string `json:"servers"`
	// Blocked and Pending name servers, see Verdict.
	Blocked []string `json:"blocked,omitempty"`
	Pending []string `json:"pending,omitempty"`
	// Definitions are sorted by server, kind and name.
	Definitions []Definition `json:"definitions"`
}

// Definitions returns what servers list: only what is not trusted as it is, or all
// of it.
func (k *Keeper) Definitions(all bool) Overview {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := Overview{OnChange: k.settings.Pins.OnChange, Locked: k.settings.Pins.Locked, Servers: []string{}, Definitions: []Definition{}}
	for _, name := range slices.Sorted(maps.Keys(k.servers)) {
		out.Servers = append(out.Servers, name)
		s := k.servers[name]
		if s.verdict == nil {
			continue
		}
		if s.verdict.Blocked {
			out.Blocked = append(out.Blocked, name)
		}
		if s.verdict.Pending {
			out.Pending = append(out.Pending, name)
		}
		notices := map[pin.Item]*Notice{}
		for i := range s.verdict.Notices {
			n := &s.verdict.Notices[i]
			notices[pin.Item{Kind: n.Kind, Name: n.Name}] = n
		}
		listed := pin.Set{}
		for i, l := range s.looked {
			if l.hash != "" && (all || notices[i] != nil) {
				e := pin.Of(l.raw)
				e.Accepted = accepted(k.findings(name, i))
				listed.Put(i, e)
			}
		}
		for _, i := range listed.Items() {
			current, _ := listed.Get(i)
			d := Definition{Server: name, Kind: i.Kind, Name: i.Name, Current: current}
			if old, ok := s.pins.Get(i); ok {
				d.Pinned = &old
			}
			if n := notices[i]; n != nil {
				d.Why, d.Withheld, d.Findings = n.Why, n.Withheld, n.Details()
			}
			out.Definitions = append(out.Definitions, d)
		}
	}
	return out
}
