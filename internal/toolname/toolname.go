// Package toolname forms the names under which the gateway offers the tools and
// prompts of a server. It does not take them apart again: a table knows which
// name belongs to which server, because a prefix need not end in a separator.
package toolname

import (
	"crypto/sha256"
	"encoding/hex"
)

// DefaultLimit is the longest name in bytes that common model providers accept.
const DefaultLimit = 64

const (
	digestLen = 8 // hex digits of the digest in a name that was changed
	tailLen   = digestLen + len("_")
)

// MinLimit leaves room for a prefix and for something of the name.
const MinLimit = 32

// Fit returns name if it has at most limit bytes, all of them of [A-Za-z0-9_.-],
// which is what common model providers take. If not, it returns what fits of
// it, with "_" for each other byte, then "_" and the first 8 hex digits of the
// SHA-256 of name, so that the answer never changes and that names with an equal
// start still differ. A limit of 0 lets every name be.
func Fit(name string, limit int) string {
	if Fits(name, limit) {
		return name
	}
	kept := []byte(name[:min(len(name), limit-tailLen)])
	for i, c := range kept {
		if !common(c) {
			kept[i] = '_'
		}
	}
	sum := sha256.Sum256([]byte(name))
	return string(kept) + "_" + hex.EncodeToString(sum[:digestLen/2])
}

// Fits reports whether Fit leaves name as it is.
func Fits[T string | []byte](name T, limit int) bool {
	if limit <= 0 {
		return true
	}
	if len(name) > limit {
		return false
	}
	for i := range len(name) {
		if !common(name[i]) {
			return false
		}
	}
	return true
}

func common(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}
