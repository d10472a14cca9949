package catalog

import (
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/resourceuri"
)

// splicer replaces string tokens of one item and keeps all other bytes.
type splicer struct {
	raw                 []byte
	edits               []edit
	schema, annotations jsonrpc.Span // of a tool
}

// edit replaces the token at a span of raw. Edits are in ascending order,
// because the members are read in theirs.
type edit struct {
	at   jsonrpc.Span
	with string
}

// item reads the member called key, which must be there once as a string that
// is not empty, and gives it the name that expose sets. With a view label it
// also labels the view's URI in _meta.
func (s *splicer) item(key string, expose func(it *item), viewLabel string) (item, string) {
	var it item
	found, isString := 0, false
	err := jsonrpc.Members(s.raw, func(k, v jsonrpc.Span) bool {
		switch {
		case s.is(k, key):
			found++
			var own []byte
			own, isString = s.unquote(v)
			it.own = string(own)
			expose(&it)
			s.replace(v, it.own, it.name)
			it.at = v
		case s.is(k, "inputSchema"):
			s.schema = v
		case s.is(k, "annotations"):
			s.annotations = v
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
	it.raw, it.at = s.splice(it.at)
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

// splice returns raw with the edits made, raw itself if there are none, and
// where in it the token stands that was at a span of raw.
func (s *splicer) splice(at jsonrpc.Span) ([]byte, jsonrpc.Span) {
	if len(s.edits) == 0 {
		return s.raw, at
	}
	size := len(s.raw)
	for _, e := range s.edits {
		size += len(e.with) + 2
	}
	out := make([]byte, 0, size)
	end, moved := 0, at
	for _, e := range s.edits {
		out = append(out, s.raw[end:e.at.Start]...)
		begin := len(out)
		out = jsonrpc.AppendQuote(out, []byte(e.with))
		end = e.at.End
		if e.at == at {
			moved = jsonrpc.Span{Start: begin, End: len(out)}
		} else if e.at.End <= at.Start {
			shift := len(out) - end
			moved = jsonrpc.Span{Start: at.Start + shift, End: at.End + shift}
		}
	}
	return append(out, s.raw[end:]...), moved
}
