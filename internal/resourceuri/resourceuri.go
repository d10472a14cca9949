// Package resourceuri marks resource URIs with the server they come from, so
// that a URI that a client sends back needs no table to be routed. The mark is
// part of the scheme (label+file:///a) and survives the expansion of a URI
// template; a ui:// resource keeps its scheme, which hosts look for, and has
// the mark in its authority (ui://label+host/a).
package resourceuri

import (
	"fmt"
	"strings"
)

const ui = "ui://"

// Label returns the mark of a server: its name in lower case, with every
// character that a URI scheme cannot have (RFC 3986 section 3.1; '+' too, it
// ends the mark) as '-'. Two names may give one label: the caller checks. A
// name that does not begin with an ASCII letter has none.
func Label(server string) (string, error) {
	var label strings.Builder
	for _, r := range server {
		switch {
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		case r > 'z' || !labelChar(byte(r)):
			r = '-'
		}
		label.WriteByte(byte(r))
	}
	if !validLabel(label.String()) {
		return "", fmt.Errorf("name %q gives no resource label: it must begin with a letter", server)
	}
	return label.String(), nil
}

// Join returns uri, or a URI template, marked with label; uri itself if label
// is empty. uri may be empty and may contain '+'.
func Join(label, uri string) string {
	if label == "" {
		return uri
	}
	if rest, found := strings.CutPrefix(uri, ui); found {
		return ui + label + "+" + rest
	}
	return label + "+" + uri
}

// Split undoes Join. The label is what stands before the first '+', if it is
// spelled like one; ok is false if not, and rest is uri then. Expanding a
// marked template can put the mark in front of ui:// (b+{+uri}), which is
// understood too. A foreign URI can look marked (git+ssh://host gives "git"):
// the caller checks that the label is one it gave.
func Split(uri string) (label, rest string, ok bool) {
	marked, scheme := uri, ""
	if after, found := strings.CutPrefix(uri, ui); found {
		marked, scheme = after, ui
	}
	label, rest, found := strings.Cut(marked, "+")
	if !found || !validLabel(label) {
		return "", uri, false
	}
	if scheme == "" {
		return label, rest, true
	}
	return label, scheme + rest, true
}

// Within reports whether what a server calls changed, a URI, is the resource that
// was subscribed to or a part of it (2026-07-28, schema,
// ResourceUpdatedNotification): one whose URI goes on where that of the resource
// ends, behind a separator (RFC 3986 section 2.2).
func Within(changed, resource string) bool {
	rest, found := strings.CutPrefix(changed, resource)
	const separators = "/?#"
	return found && resource != "" &&
		(rest == "" || strings.IndexByte(separators, rest[0]) >= 0 || strings.IndexByte(separators, resource[len(resource)-1]) >= 0)
}

func validLabel(label string) bool {
	if label == "" || label[0] < 'a' || label[0] > 'z' {
		return false
	}
	for i := 0; i < len(label); i++ {
		if !labelChar(label[i]) {
			return false
		}
	}
	return true
}

func labelChar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-'
}
