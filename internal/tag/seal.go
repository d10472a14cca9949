package tag

import (
	"crypto/sha256"
	"encoding/base64"
)

const (
	sealLength = 12
	// longestName bounds what is hashed of a made-up mark, in bytes; no server
	// has a longer name.
	longestName = 128
)

// seal is base64url of 72 bits.
type seal [sealLength]byte

// newSeal returns the front of HMAC-SHA256 (RFC 2104), keyed with the session's
// id, of the server's name. crypto/hmac does the same, but allocates, and there
// is a seal for each answer with event ids.
func newSeal(session []byte, server string) seal {
	var inner, outer [sha256.BlockSize]byte
	if len(session) > len(inner) {
		sum := sha256.Sum256(session)
		copy(inner[:], sum[:])
	} else {
		copy(inner[:], session)
	}
	for i, b := range inner {
		inner[i], outer[i] = b^0x36, b^0x5c
	}
	var buf [sha256.BlockSize + longestName]byte // on the stack
	sum := sha256.Sum256(append(append(buf[:0], inner[:]...), server...))
	sum = sha256.Sum256(append(append(buf[:0], outer[:]...), sum[:]...))
	var s seal
	base64.RawURLEncoding.Encode(s[:], sum[:sealLength/4*3])
	return s
}
