package pin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// MaxLock bounds a lock file in bytes: brokers get it with their configuration.
const MaxLock = 8 << 20

// lockVersion is that of the form described at Lock.Text.
const lockVersion = 1

// Lock holds the pins of servers by their names.
type Lock map[string]Set

// document is a lock file.
type document struct {
	Comment string                               `json:"comment,omitempty"`
	Version int                                  `json:"version"`
	Servers map[string]map[Kind]map[string]Entry `json:"servers"`
}

// Parse reads a lock file, strictly: an entry whose hash is not that of its
// definition is an error, as is anything unknown. All errors at once.
func Parse(text []byte) (Lock, error) {
	if len(text) > MaxLock {
		return nil, fmt.Errorf("is larger than %d bytes", MaxLock)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("is no lock file: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is no lock file: there is text behind its end")
	}
	if d.Version != lockVersion {
		return nil, fmt.Errorf("is of version %d: this program reads %d", d.Version, lockVersion)
	}
	// encoding/json takes the last of two equal keys: so that a merge gone wrong
	// does not decide which definition counts, there must be one.
	if _, err := Canonical(text); err != nil {
		return nil, fmt.Errorf("is no lock file: %w", err)
	}
	lock := Lock{}
	var errs []error
	for _, server := range slices.Sorted(maps.Keys(d.Servers)) {
		set := Set{}
		for k, items := range d.Servers[server] {
			if !slices.Contains(Kinds, k) {
				errs = append(errs, fmt.Errorf("%s: %q is no kind of item", server, k))
				continue
			}
			set[k] = map[string]Entry{}
			for name, e := range items {
				if err := e.verify(); err != nil {
					errs = append(errs, fmt.Errorf("%s: %s: %s: %w", server, k, Visible(name), err))
				}
				set[k][name] = e
			}
		}
		lock[server] = set
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	return lock, nil
}

const comment = "Written by mcp-gateway pin and approve. What servers said of their tools, prompts and resource templates, and of themselves, when they were trusted."

// Text returns the lock file: JSON with one member a line and sorted keys, in
// which what cannot be seen is escaped, for reviews.
func (l Lock) Text() ([]byte, error) {
	d := document{Comment: comment, Version: lockVersion, Servers: map[string]map[Kind]map[string]Entry{}}
	for server, set := range l {
		kinds := map[Kind]map[string]Entry{}
		for k, items := range set {
			if items != nil {
				kinds[k] = items
			}
		}
		d.Servers[server] = kinds
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode a lock file: %w", err)
	}
	text := escapeHidden(b.Bytes())
	if len(text) > MaxLock {
		return nil, fmt.Errorf("the lock file would be larger than %d bytes", MaxLock)
	}
	return text, nil
}

// escapeHidden writes the characters of JSON text that cannot be seen as escapes.
// All of those stand in strings.
func escapeHidden(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || visible(r):
			out = append(out, string(r)...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// Clone returns a copy whose entries are shared.
func (l Lock) Clone() Lock {
	out := make(Lock, len(l))
	for server, set := range l {
		out[server] = set.Clone()
	}
	return out
}
