// Package scan looks for what does not belong into the definition of a tool, a
// prompt or a resource: text that people do not see and models read, text that
// pretends to come from somebody else, and names that pass for another server's.
// It finds forms, not intentions: who writes plain lies passes.
//
// Pure: no network, no files, no clock.
package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Check names one thing that is looked for.
type Check string

// The checks. docs/integrity.md describes each.
const (
	Control    Check = "control"
	Invisible  Check = "invisible"
	Tags       Check = "tags"
	Bidi       Check = "bidi"
	Variation  Check = "variation"
	Comment    Check = "comment"
	PseudoTag  Check = "pseudo-tag"
	DataImage  Check = "data-image"
	Padding    Check = "padding"
	Long       Check = "long"
	Name       Check = "name"
	Ambiguous  Check = "ambiguous"
	Secret     Check = "secret-request"
	Lookalike  Check = "lookalike"
	SameName   Check = "same-name"
	Shadowing  Check = "shadowing"
	mostInItem       = 16 // findings
)

// Checks are all checks.
var Checks = []Check{
	Control, Invisible, Tags, Bidi, Variation, Comment, PseudoTag, DataImage, Padding, Long, Name, Ambiguous, Secret,
	Lookalike, SameName, Shadowing,
}

// Known reports whether there is a check of that name.
func Known(name string) bool { return slices.Contains(Checks, Check(name)) }

// Finding is one thing found in a definition. Comparable.
type Finding struct {
	Check Check
	// Where is a JSON pointer into the definition, bounded and in ASCII.
	Where string
	// Detail says what there is, bounded and in ASCII.
	Detail string
}

// Result is what a definition says of itself.
type Result struct {
	// Findings are at most a few, in the order of the definition.
	Findings []Finding
	// mentions are the names in its descriptions that could be those of tools.
	mentions []mention
}

type mention struct{ name, where string }

const (
	longName   = 128
	longText   = 16 << 10
	detailRoom = 100
	// mostMentions bounds what is kept of one definition.
	mostMentions = 256
)

// Definition looks at one item by itself, as its server listed it. nameMember is
// the member that holds its name: "name", "uri" or "uriTemplate".
func Definition(raw []byte, nameMember string) Result {
	w := walker{
		dec:  jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		name: nameMember,
	}
	for {
		if err := w.next(); err != nil {
			if !errors.Is(err, io.EOF) {
				w.found(Ambiguous, "not readable to its end")
			}
			break
		}
	}
	strict := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := strict.ReadValue(); err != nil {
		w.found(Ambiguous, "two readers may see different values: a key that comes twice, or text that is no Unicode")
	}
	return Result{Findings: w.findings, mentions: w.mentions}
}

// walker reads a definition string by string.
type walker struct {
	dec      *jsontext.Decoder
	name     string
	findings []Finding
	mentions []mention
}

// next reads a token.
func (w *walker) next() error {
	if w.aside() {
		return w.dec.SkipValue()
	}
	token, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() == '"' {
		w.text(token.String())
	}
	return nil
}

// aside reports whether what comes next is the value of a member that no model
// reads: _meta and icons of the item itself.
func (w *walker) aside() bool {
	if w.dec.StackDepth() != 1 {
		return false
	}
	if kind, n := w.dec.StackIndex(1); kind != '{' || n%2 == 0 {
		return false
	}
	switch w.dec.StackPointer() {
	case "/_meta", "/icons":
		return true
	}
	return false
}

// text looks at a string, the key of a member or a value.
func (w *walker) text(s string) {
	depth := w.dec.StackDepth()
	kind, n := w.dec.StackIndex(depth)
	isKey := kind == '{' && n%2 == 1
	isName := !isKey && depth == 1 && w.is(w.name)
	w.characters(s, isKey || isName && w.name == "name")
	switch {
	case isName && len(s) > longName && w.name == "name":
		w.found(Long, fmt.Sprintf("%d bytes: a name has up to %d", len(s), longName))
	case len(s) > longText:
		w.found(Long, fmt.Sprintf("%d bytes of text, more than %d", len(s), longText))
	}
	if isKey || isName && w.name == "name" {
		w.identifier(s)
	}
	if isName {
		return
	}
	w.markup(s)
	w.spaces(s)
	w.request(s)
	if !isKey && (w.is("description") || w.is("title") || w.is("instructions")) {
		w.mention(s)
	}
}

// is reports whether the last member that was read has the key.
func (w *walker) is(key string) bool {
	return strings.HasSuffix(string(w.dec.StackPointer()), "/"+key)
}

func (w *walker) found(check Check, detail string) {
	if len(w.findings) >= mostInItem {
		return
	}
	where := string(w.dec.StackPointer())
	w.findings = append(w.findings, Finding{check, ascii(where, detailRoom), detail})
}

// mention notes the words of a description that look like names of tools.
func (w *walker) mention(s string) {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return !inName(r) }) {
		word = strings.Trim(word, ".-")
		if len(w.mentions) >= mostMentions {
			return
		}
		if distinctive(word) {
			w.mentions = append(w.mentions, mention{word, ascii(string(w.dec.StackPointer()), detailRoom)})
		}
	}
}

func inName(r rune) bool {
	return r == '_' || r == '-' || r == '.' || r == '/' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// distinctive reports whether a word is hardly one of a language: it has an
// underscore, or a capital behind a small letter. Words with hyphens and dots are
// many in plain text.
func distinctive(word string) bool {
	if len(word) < 5 || len(word) > longName {
		return false
	}
	for i := 1; i < len(word)-1; i++ {
		if word[i] == '_' || 'A' <= word[i] && word[i] <= 'Z' && 'a' <= word[i-1] && word[i-1] <= 'z' {
			return true
		}
	}
	return false
}

// ascii writes s with everything else escaped, in at most so many bytes.
func ascii(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		part := string(r)
		if r < ' ' || r > '~' {
			part = fmt.Sprintf(`\u{%x}`, r)
		}
		if b.Len()+len(part) > most {
			b.WriteString("...")
			break
		}
		b.WriteString(part)
	}
	return b.String()
}
