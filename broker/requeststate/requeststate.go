// Package requeststate seals what a client carries from an answer that asks for
// input to the request that brings it (2026-07-28, basic/patterns/mrtr,
// requestState). What comes back is a stranger's until it opens: a state is good
// only for the caller and the request that it was made for, and for a time.
package requeststate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// ErrInvalid says that a state is none, was changed, is over, or belongs to
// another caller or request. Which of these, nobody is told.
var ErrInvalid = errors.New("the request state is not valid here")

// State is what is sealed.
type State struct {
	// Instance names the replica that holds Call, the call that waits; both are
	// empty where nothing waits, and the request is to be made anew.
	Instance string `json:"i,omitempty"`
	Call     string `json:"c,omitempty"`
	// Round counts the answers of Call: an older state continues nothing.
	Round int `json:"r,omitempty"`
	// Keys name what was asked for, where nothing waits.
	Keys []string `json:"k,omitempty"`
	// Expires is the last second in which the state is good, Unix time.
	Expires int64 `json:"e"`
}

// Binding is who and what a state is good for.
type Binding struct {
	// Principal tells the caller, Endpoint the view.
	Principal, Endpoint string
	// Method and Target are what is called: a name or URI as clients know it.
	Method, Target string
	// Arguments is the raw JSON of params.arguments; nil for none.
	Arguments []byte
}

// Sealer seals and opens states. Safe for concurrent use.
type Sealer struct{ aead cipher.AEAD }

// longest is how much text is looked at, in bytes.
const longest = 4 << 10

// New returns a Sealer whose key comes from secret: all replicas with the same
// one open each other's states. Without a secret the key is random, and only this
// Sealer opens what it has sealed.
func New(secret string) *Sealer {
	from := sha256.Sum256([]byte(secret))
	if secret == "" {
		_, _ = rand.Read(from[:]) // never fails
	}
	key, err := hkdf.Key(sha256.New, from[:], nil, "mcp-gateway request state, AES-256-GCM", 32)
	var block cipher.Block
	if err == nil {
		block, err = aes.NewCipher(key)
	}
	var aead cipher.AEAD
	if err == nil {
		aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil {
		panic("requeststate: a key of 32 bytes cannot be used: " + err.Error())
	}
	return &Sealer{aead}
}

// Seal returns a state as text for a client: base64url, opaque.
func (s *Sealer) Seal(state State, to Binding) string {
	plain, err := json.Marshal(state)
	if err != nil {
		panic("requeststate: strings and numbers cannot be encoded: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, to.digest()))
}

// Open undoes Seal for the same binding, at a time. The error is ErrInvalid.
func (s *Sealer) Open(text string, of Binding, now time.Time) (State, error) {
	if len(text) > longest {
		return State{}, ErrInvalid
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return State{}, ErrInvalid
	}
	plain, err := s.aead.Open(nil, nil, sealed, of.digest())
	if err != nil {
		return State{}, ErrInvalid
	}
	var state State
	if json.Unmarshal(plain, &state) != nil || now.Unix() > state.Expires {
		return State{}, ErrInvalid
	}
	return state, nil
}

// digest tells bindings apart. Arguments count by value, in whatever order and
// with whatever space a client writes them the second time.
func (b Binding) digest() []byte {
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(b.Principal), []byte(b.Endpoint), []byte(b.Method), []byte(b.Target), Canonical(b.Arguments)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		sum.Write(length[:])
		sum.Write(part)
	}
	return sum.Sum(nil)
}
