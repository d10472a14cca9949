package catalog

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/resourceuri"
	"mcp-gateway/internal/toolname"
)

// Lists holds the items of one server, each the raw JSON value as it stood in
// the server's answer, in the server's order.
type Lists struct {
	Tools, Prompts, Resources, Templates [][]byte
}

func (l *Lists) of(k Kind) [][]byte {
	return [kinds][][]byte{l.Tools, l.Prompts, l.Resources, l.Templates}[k]
}

// Fault is an item that cannot be listed, for instance a tool without a name.
type Fault struct {
	Kind Kind
	// Index is the item's place in the server's list, from 0.
	Index  int
	Reason string
}

// Items are the items of one server under their exposed names. Immutable.
type Items struct {
	lists  [kinds][]item
	faults []Fault
}

type item struct {
	name string // exposed name; exposed URI or URI template of a resource
	own  string // as the server knows it
	raw  []byte
}

// Prepare gives the items of one server their exposed names: prefix before the
// names of tools and prompts, label in the URIs of resources and templates and
// in the URI of the view that a tool names in its _meta (MCP Apps). An item
// whose name cannot be told is left out and becomes a fault; the rest stays.
func Prepare(lists Lists, prefix, label string) *Items {
	out := &Items{}
	for k := range kinds {
		raws := lists.of(k)
		out.lists[k] = make([]item, 0, len(raws))
		for i, raw := range raws {
			it, reason := prepare(k, raw, prefix, label)
			if reason != "" {
				out.faults = append(out.faults, Fault{Kind: k, Index: i, Reason: reason})
				continue
			}
			out.lists[k] = append(out.lists[k], it)
		}
	}
	return out
}

// Faults returns the items that were left out.
func (s *Items) Faults() []Fault {
	if s == nil {
		return nil
	}
	return s.faults
}

// Count returns the number of items that can be listed.
func (s *Items) Count(k Kind) int { return len(s.of(k)) }

func (s *Items) of(k Kind) []item {
	if s == nil {
		return nil
	}
	return s.lists[k]
}

func (s *Items) size(k Kind) int {
	n := 0
	for _, it := range s.of(k) {
		n += len(it.raw) + 1
	}
	return n
}

func prepare(k Kind, raw []byte, prefix, label string) (item, string) {
	named := func(own string) string { return toolname.Join(prefix, own) }
	located := func(own string) string { return resourceuri.Join(label, own) }
	s := splicer{raw: raw}
	switch k {
	case Tools:
		return s.item("name", named, label)
	case Prompts:
		return s.item("name", named, "")
	case Resources:
		return s.item("uri", located, "")
	default:
		return s.item("uriTemplate", located, "")
	}
}

// splicer replaces string tokens of one item and keeps all other bytes.
type splicer struct {
	raw   []byte
	edits []edit
}

// edit replaces the token at a span of raw. Edits are in ascending order,
// because the members are read in theirs.
type edit struct {
	at   jsonrpc.Span
	with string
}

// item reads the member called key, which must be there once as a string that
// is not empty, and gives it the name that expose returns. With a view label it
// also labels the view's URI in _meta.
func (s *splicer) item(key string, expose func(own string) string, viewLabel string) (item, string) {
	var it item
	found, isString := 0, false
	err := jsonrpc.Members(s.raw, func(k, v jsonrpc.Span) bool {
		switch {
		case s.is(k, key):
			found++
			var own []byte
			own, isString = s.unquote(v)
			it.own = string(own)
			it.name = expose(it.own)
			s.replace(v, it.own, it.name)
		case viewLabel != "" && s.is(k, "_meta"):
			s.meta(v, viewLabel)
		}
		return true
	})
	switch {
	case err != nil:
		return item{}, "not a JSON object"
	case found == 0:
		return item{}, "no " + key
	case found > 1:
		return item{}, key + " more than once"
	case !isString:
		return item{}, key + " is not a string"
	case it.own == "":
		return item{}, key + " is empty"
	}
	it.raw = s.splice()
	return it, ""
}

// meta labels _meta["ui/resourceUri"] and _meta.ui.resourceUri.
func (s *splicer) meta(at jsonrpc.Span, label string) {
	s.members(at, func(k, v jsonrpc.Span) {
		switch {
		case s.is(k, "ui/resourceUri"):
			s.label(v, label)
		case s.is(k, "ui"):
			s.members(v, func(k, v jsonrpc.Span) {
				if s.is(k, "resourceUri") {
					s.label(v, label)
				}
			})
		}
	})
}

// members calls f for the members of the value at a span, if it is an object,
// with spans of raw.
func (s *splicer) members(at jsonrpc.Span, f func(k, v jsonrpc.Span)) {
	shift := func(in jsonrpc.Span) jsonrpc.Span {
		return jsonrpc.Span{Start: in.Start + at.Start, End: in.End + at.Start}
	}
	// The value is valid JSON, part of what was read already: the error only
	// says that it is no object.
	_ = jsonrpc.Members(at.Of(s.raw), func(k, v jsonrpc.Span) bool {
		f(shift(k), shift(v))
		return true
	})
}

func (s *splicer) label(v jsonrpc.Span, label string) {
	if uri, ok := s.unquote(v); ok {
		own := string(uri)
		s.replace(v, own, resourceuri.Join(label, own))
	}
}

func (s *splicer) is(key jsonrpc.Span, want string) bool {
	got, _ := s.unquote(key)
	return string(got) == want
}

// unquote returns the characters of a string token; false for another value.
func (s *splicer) unquote(v jsonrpc.Span) ([]byte, bool) {
	return jsonrpc.Unquote(nil, v.Of(s.raw))
}

func (s *splicer) replace(at jsonrpc.Span, old, with string) {
	if old != with {
		s.edits = append(s.edits, edit{at, with})
	}
}

// splice returns raw with the edits made; raw itself if there are none.
func (s *splicer) splice() []byte {
	if len(s.edits) == 0 {
		return s.raw
	}
	size := len(s.raw)
	for _, e := range s.edits {
		size += len(e.with) + 2
	}
	out := make([]byte, 0, size)
	end := 0
	for _, e := range s.edits {
		out = append(out, s.raw[end:e.at.Start]...)
		out = jsonrpc.AppendQuote(out, []byte(e.with))
		end = e.at.End
	}
	return append(out, s.raw[end:]...)
}
