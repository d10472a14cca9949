package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// ID is a client's session id: the Mcp-Session-Id it was given. Whoever has it
// has the session, so it is neither logged nor stored; Key stands for it.
type ID string

// NewID returns 256 random bits as 43 characters of base64url, all of them
// allowed in a header (2025-11-25, basic/transports, Session Management).
func NewID() ID {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return ID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Key returns the name under which stores and caches keep the session.
func (id ID) Key() Key {
	var buf [64]byte // on the stack; an id of ours fits
	return sha256.Sum256(append(buf[:0], id...))
}

// Key is the SHA-256 of an ID. It cannot be turned back into one.
type Key [sha256.Size]byte

// String returns the key as 43 characters of base64url.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// ParseKey is the inverse of Key.String.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != base64.RawURLEncoding.EncodedLen(len(k)) {
		return Key{}, errors.New("session key: want 43 characters")
	}
	// A length short of the key: line breaks, which the decoder skips.
	if n, err := base64.RawURLEncoding.Strict().Decode(k[:], []byte(s)); err != nil || n != len(k) {
		return Key{}, errors.New("session key: not base64url")
	}
	return k, nil
}
