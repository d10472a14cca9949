package redis

import (
	"encoding/hex"

	"mcp-gateway/internal/mcp"
)

// Most servers make their session ids of a UUID or of hexadecimal digits. Sealed,
// nobody can read them anyway: half as long they fit into one field of the hash.
const (
	packedNot  = 'r' // followed by the id
	packedHex  = 'h' // its bytes
	packedUUID = 'u' // 16 bytes, and what is before the UUID in the id
)

const uuidLength = 36

// pack shortens an id that is to be sealed. Equal ids only become equal.
func (s *Store) pack(id string) string {
	if s.ring == nil {
		return id
	}
	if n := len(id) - uuidLength; n >= 0 {
		if b, ok := parseUUID(id[n:]); ok {
			return string(packedUUID) + string(b) + id[:n]
		}
	}
	if b, err := hex.DecodeString(id); err == nil && hex.EncodeToString(b) == id {
		return string(packedHex) + string(b)
	}
	return string(packedNot) + id
}

// unpack undoes pack.
func (s *Store) unpack(packed string) (id string, ok bool) {
	if s.ring == nil {
		return packed, true
	}
	if packed == "" {
		return "", false
	}
	rest := packed[1:]
	switch packed[0] {
	case packedNot:
		return rest, true
	case packedHex:
		return hex.EncodeToString([]byte(rest)), true
	case packedUUID:
		if len(rest) >= 16 {
			return rest[16:] + formatUUID([]byte(rest[:16])), true
		}
	}
	return "", false
}

// parseUUID takes a UUID in lower case only, as formatUUID writes it.
func parseUUID(text string) ([]byte, bool) {
	b, err := hex.DecodeString(text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:])
	return b, err == nil && formatUUID(b) == text
}

func formatUUID(b []byte) string {
	t := hex.EncodeToString(b)
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

// revisions are those with sessions, by the letter that is kept for each.
var revisions = map[string]mcp.Revision{
	"a": mcp.Revision20241105, "b": mcp.Revision20250326, "c": mcp.Revision20250618, "d": mcp.Revision20251125,
}

func shortRevision(r mcp.Revision) string {
	for short, long := range revisions {
		if long == r {
			return short
		}
	}
	return string(r)
}

// longRevision undoes shortRevision.
func longRevision(short string) mcp.Revision {
	if r, ok := revisions[short]; ok {
		return r
	}
	return mcp.Revision(short)
}

// packedDigest goes before 32 bytes that are a principal of 64 hexadecimal digits.
const packedDigest = "\x01"

// packPrincipal shortens a principal that is a digest, as they are where they come
// from a credential.
func packPrincipal(p string) string {
	if len(p) != 64 {
		return p
	}
	if b, err := hex.DecodeString(p); err == nil && hex.EncodeToString(b) == p {
		return packedDigest + string(b)
	}
	return p
}

// unpackPrincipal undoes packPrincipal.
func unpackPrincipal(p string) string {
	if len(p) == 33 && p[:1] == packedDigest {
		return hex.EncodeToString([]byte(p[1:]))
	}
	return p
}
