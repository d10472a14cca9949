// Package toolname forms the names under which the gateway offers the tools and
// prompts of a server. It does not take them apart again: a table knows which
// name belongs to which server, because a prefix need not end in a separator.
package toolname

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

// MaxLen is the longest name in bytes that common model providers accept.
const MaxLen = 64

const (
	digestLen = 8 // hex digits of the digest in a shortened name
	keptLen   = MaxLen - digestLen - len("_")
)

// Join returns prefix+name. A result of more than MaxLen bytes is cut to 55 and
// ends in "_" and the first 8 hex digits of its SHA-256, so that the answer
// never changes and names with an equal start still differ. A cut inside a
// character drops the whole character.
func Join(prefix, name string) string {
	full := prefix + name
	if len(full) <= MaxLen {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	cut := keptLen
	for low := keptLen - utf8.UTFMax; cut > low && !utf8.RuneStart(full[cut]); {
		cut--
	}
	return full[:cut] + "_" + hex.EncodeToString(sum[:digestLen/2])
}
