package gatewayconfig

// Reaction is what is made of a definition that is not what was trusted, or that
// a scan has found something in.
type Reaction string

const (
	// ReactOff looks at nothing.
	ReactOff Reaction = "off"
	// ReactTrust takes what is new as if it had always been there.
	ReactTrust Reaction = "trust"
	// ReactWarn offers the item and tells the operator.
	ReactWarn Reaction = "warn"
	// ReactQuarantine offers the item to nobody until it is approved.
	ReactQuarantine Reaction = "quarantine"
	// ReactBlock offers nothing of its server until it is approved.
	ReactBlock Reaction = "block"
)

// Integrity says how what servers say of themselves is watched. The zero value
// watches nothing.
type Integrity struct {
	Pins Pins `json:"pins,omitzero"`
	// Scan is what is made of findings: ReactWarn or ReactQuarantine; empty is
	// ReactOff.
	Scan Reaction `json:"scan,omitempty"`
	// ScanAllow has, by the name of a server or "*" for all, the checks whose
	// findings there are of no interest.
	ScanAllow map[string][]string `json:"scanAllow,omitempty"`
}

// Pins say what is made of definitions that change.
type Pins struct {
	// OnChange is for an item that is not what it was; empty is ReactOff. OnNew is
	// for one that was not there, empty is as OnChange.
	OnChange Reaction `json:"onChange,omitempty"`
	OnNew    Reaction `json:"onNew,omitempty"`
	// Locked tells that Lock, the text of a lock file, says what is trusted. If
	// not, that is what is seen first, kept in State, the path of a file, or in the
	// Redis of the sessions, or else in memory.
	Locked bool   `json:"locked,omitempty"`
	Lock   string `json:"lock,omitempty"`
	State  string `json:"state,omitempty"`
}

// On reports whether definitions are compared at all.
func (p *Pins) On() bool { return p.OnChange != "" && p.OnChange != ReactOff }

// New returns what is made of new items.
func (p *Pins) New() Reaction {
	if p.OnNew == "" {
		return p.OnChange
	}
	return p.OnNew
}

// On reports whether anything is watched.
func (i *Integrity) On() bool { return i.Pins.On() || i.Scan != "" && i.Scan != ReactOff }

// Withholds reports whether items are not offered because of it.
func (r Reaction) Withholds() bool { return r == ReactQuarantine || r == ReactBlock }

// Strict reports whether what is not trusted may be withheld.
func (p *Pins) Strict() bool { return p.On() && (p.OnChange.Withholds() || p.New().Withholds()) }

// Strict reports whether an item may be withheld, so that none is offered before
// it was looked at.
func (i *Integrity) Strict() bool { return i.Scan.Withholds() || i.Pins.Strict() }
