// Package pin is what a server's tool, prompt or resource template was when
// somebody trusted it: its definition, and the hash that tells whether it is
// still the same. It reads and writes lock files, and shows what has changed.
//
// Pure: no network, no files, no clock.
package pin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what is pinned: the items of a list, by the member of its result, or
// Instructions.
type Kind string

// The kinds. Resources are not among them: a list of them is what a server has,
// and not what it says of itself.
const (
	Tools     Kind = "tools"
	Prompts   Kind = "prompts"
	Templates Kind = "resourceTemplates"
	// Instructions has one item of the same name: what the server says of itself.
	Instructions Kind = "instructions"
)

// Kinds are all kinds, in the order in which they are shown.
var Kinds = []Kind{Tools, Prompts, Templates, Instructions}

// Entry is one definition that was trusted.
type Entry struct {
	// Hash is "sha256:" and the SHA-256 of Definition in hex; "sha256-raw:" and
	// that of Raw.
	Hash string `json:"hash"`
	// Definition is the item in canonical form.
	Definition json.RawMessage `json:"definition,omitempty"`
	// Raw is the item byte for byte, if it has no canonical form.
	Raw []byte `json:"raw,omitempty"`
	// Accepted are the findings of the scan that were seen and accepted with it.
	Accepted []string `json:"accepted,omitempty"`
}

const (
	prefixCanonical = "sha256:"
	prefixRaw       = "sha256-raw:"
)

// Of returns the entry of an item as a server listed it.
func Of(raw []byte) Entry {
	if canonical, err := Canonical(raw); err == nil {
		return Entry{Hash: hash(prefixCanonical, canonical), Definition: canonical}
	}
	return Entry{Hash: hash(prefixRaw, raw), Raw: raw}
}

func hash(prefix string, b []byte) string {
	sum := sha256.Sum256(b)
	return prefix + hex.EncodeToString(sum[:])
}

// Canonical returns raw in the form of RFC 8785, but for integers, which keep all
// of their digits. It fails for what two readers could take for different values:
// a key that comes twice, text that is no Unicode.
func Canonical(raw []byte) ([]byte, error) {
	v := jsontext.Value(bytes.Clone(raw))
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, fmt.Errorf("no canonical form: %w", err)
	}
	return v, nil
}

// text returns what a person is shown of the definition.
func (e *Entry) text() []byte {
	if e.Raw != nil {
		return e.Raw
	}
	return e.Definition
}

// verify reports whether the hash is that of the definition.
func (e *Entry) verify() error {
	switch {
	case e.Raw != nil && len(e.Definition) > 0:
		return errors.New("has both definition and raw")
	case e.Raw != nil:
		if hash(prefixRaw, e.Raw) != e.Hash {
			return errors.New("hash is not that of raw")
		}
		return nil
	case len(e.Definition) == 0:
		return errors.New("has no definition")
	}
	canonical, err := Canonical(e.Definition)
	if err != nil {
		return fmt.Errorf("definition has %w", err)
	}
	if hash(prefixCanonical, canonical) != e.Hash {
		return errors.New("hash is not that of the definition: approve it with mcp-gateway instead of editing it")
	}
	e.Definition = canonical
	return nil
}

// Accepts reports whether a finding of the scan was accepted with e.
func (e *Entry) Accepts(check string) bool { return slices.Contains(e.Accepted, check) }

// OfServer is the item of Instructions.
var OfServer = Item{Kind: Instructions, Name: string(Instructions)}

// Item names an item of a server, as the server does.
type Item struct {
	Kind Kind
	Name string
}

func (i Item) compare(other Item) int {
	return cmp.Or(cmp.Compare(slices.Index(Kinds, i.Kind), slices.Index(Kinds, other.Kind)), cmp.Compare(i.Name, other.Name))
}

// Set holds the pins of one server. A kind that is there was trusted once, with
// the items that it had: what comes later is new.
type Set map[Kind]map[string]Entry

// Get returns the entry of an item.
func (s Set) Get(i Item) (Entry, bool) {
	e, ok := s[i.Kind][i.Name]
	return e, ok
}

// Has reports whether the items of a kind were trusted once.
func (s Set) Has(k Kind) bool { return s[k] != nil }

// Put adds an entry, or replaces it.
func (s Set) Put(i Item, e Entry) {
	if s[i.Kind] == nil {
		s[i.Kind] = map[string]Entry{}
	}
	s[i.Kind][i.Name] = e
}

// Add trusts the kinds of other that s does not have, and reports whether there
// were any.
func (s Set) Add(other Set) bool {
	added := false
	for k, items := range other {
		if s[k] == nil && items != nil {
			s[k] = maps.Clone(items)
			added = true
		}
	}
	return added
}

// Clone returns a copy whose entries are shared.
func (s Set) Clone() Set {
	if s == nil {
		return nil
	}
	out := make(Set, len(s))
	for k, items := range s {
		out[k] = maps.Clone(items)
	}
	return out
}

// Items returns the names of all entries, sorted.
func (s Set) Items() []Item {
	var all []Item
	for k, items := range s {
		for name := range items {
			all = append(all, Item{k, name})
		}
	}
	slices.SortFunc(all, Item.compare)
	return all
}
