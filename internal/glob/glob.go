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
type Rules struct {
	allow, deny set
	// roots are the deny patterns that end in a slash, or in one and a star,
	// without that: many servers read a URI alike with and without the last slash.
	roots set
}

// New compiles the patterns; nil if there are none.
func New(allow, deny []string) *Rules {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	var roots []string
	for _, p := range deny {
		if root, found := strings.CutSuffix(strings.TrimRight(p, "*"), "/"); found {
			roots = append(roots, root)
		}
	}
	return &Rules{compile(allow), compile(deny), compile(roots)}
}

// Admits reports whether name may be used.
func (r *Rules) Admits(name []byte) bool {
	return r == nil || (r.allow.empty() || r.allow.matches(name)) && !r.deny.matches(name)
}

// AdmitsURI is Admits for a URI or URI template that a server knows as own. One
// that is not Plain is refused where there are rules, as another spelling of it
// could be one that they name. As servers may ignore a query and the last slash,
// deny is also held against the URI without them, and an allow pattern without a
// question mark against the URI without its query.
func (r *Rules) AdmitsURI(uri, own []byte) bool {
	if r == nil {
		return true
	}
	if !Plain(own) {
		return false
	}
	short := beforeQuery(uri)
	if !r.allow.empty() && !r.allow.matches(short) && !r.allow.matchesQuery(uri) {
		return false
	}
	bare := bytes.TrimSuffix(short, []byte{'/'})
	return !r.deny.matches(uri) && !r.roots.matches(bare) &&
		(len(short) == len(uri) || !r.deny.matches(short)) &&
		(len(bare) == len(short) || !r.deny.matches(bare))
}

// set is a list of patterns. Most have no star and are found at once, however
// many they are.
type set struct {
	exact map[string]struct{}
	globs []glob
	// asking are those of globs that have a question mark.
	asking []glob
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
		g := bytes.Split([]byte(p), []byte{'*'})
		s.globs = append(s.globs, g)
		if strings.Contains(p, "?") {
			s.asking = append(s.asking, g)
		}
	}
	return s
}

func (s *set) empty() bool { return len(s.exact) == 0 && len(s.globs) == 0 }

func (s *set) matches(name []byte) bool {
	if _, ok := s.exact[string(name)]; ok {
		return true
	}
	return anyMatches(s.globs, name)
}

// matchesQuery is matches by the patterns that have a question mark.
func (s *set) matchesQuery(uri []byte) bool {
	if _, ok := s.exact[string(uri)]; ok && bytes.IndexByte(uri, '?') >= 0 {
		return true
	}
	return anyMatches(s.asking, uri)
}

func anyMatches(globs []glob, name []byte) bool {
	for _, g := range globs {
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
