// Package glob decides by patterns which names and URIs may be used. In a
// pattern * stands for any run of characters, slashes and none included, and
// every other character for itself: a ? is common in URIs. Matching allocates
// nothing, as it happens on the path of a call.
package glob

import (
	"bytes"
	"strings"
)

// Rules admit what an allow pattern matches, or everything if there is none,
// but for what a deny pattern matches. The nil Rules admit everything.
type Rules struct{ allow, deny set }

// New compiles the patterns; nil if there are none.
func New(allow, deny []string) *Rules {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	return &Rules{compile(allow), compile(deny)}
}

// Admits reports whether name may be used.
func (r *Rules) Admits(name []byte) bool {
	return r == nil || (r.allow.empty() || r.allow.matches(name)) && !r.deny.matches(name)
}

// AdmitsURI is Admits for a URI or URI template that a server knows as own. One
// that is not Plain is refused where there are rules, as another spelling of it
// could be one that they name.
func (r *Rules) AdmitsURI(uri, own []byte) bool {
	return r == nil || Plain(own) && r.Admits(uri)
}

// set is a list of patterns. Most have no star and are found at once, however
// many they are.
type set struct {
	exact map[string]struct{}
	globs []glob
}

// glob is what stands between the stars of a pattern; at least two parts.
type glob [][]byte

func compile(patterns []string) set {
	var s set
	for _, p := range patterns {
		if !strings.Contains(p, "*") {
			if s.exact == nil {
				s.exact = make(map[string]struct{}, len(patterns))
			}
			s.exact[p] = struct{}{}
			continue
		}
		s.globs = append(s.globs, bytes.Split([]byte(p), []byte{'*'}))
	}
	return s
}

func (s *set) empty() bool { return len(s.exact) == 0 && len(s.globs) == 0 }

func (s *set) matches(name []byte) bool {
	if _, ok := s.exact[string(name)]; ok {
		return true
	}
	for _, g := range s.globs {
		if g.matches(name) {
			return true
		}
	}
	return false
}

// matches takes each part where it comes first, which leaves most for the rest.
func (g glob) matches(name []byte) bool {
	first, last := g[0], g[len(g)-1]
	if len(name) < len(first)+len(last) || !bytes.HasPrefix(name, first) || !bytes.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range g[1 : len(g)-1] {
		i := bytes.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}
