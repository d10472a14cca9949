// Package seal keeps what a store holds from who can read the store: values are
// sealed under a ring of keys that the replicas share, each bound to its record and
// its field, so that none can be put in another's place.
//
// Sealing is deterministic, so a value can be looked for without opening any, and a
// lost answer's repetition is the same. Equal values show only in the same field
// of the same record. Every record has a key of its own, derived from the ring's.
//
// It is the SIV construction of Rogaway and Shrimpton (Deterministic
// Authenticated-Encryption, 2006; RFC 5297 has it with other parts): HMAC-SHA256 of
// record, field and value, cut to 16 bytes, is what proves them, and is the counter
// that AES-256-CTR begins with. A nonce besides, as AES-GCM has it, would be 12
// bytes more for each value.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

var (
	// ErrUnknownKey says that a value was sealed with a key that is not in the
	// ring, or is sealed where there is no ring.
	ErrUnknownKey = errors.New("sealed with a key that this replica does not have")
	// ErrForged says that a value is not what was sealed for its place.
	ErrForged = errors.New("not what was sealed for its place")
	// ErrPlain says that a value is not sealed at all.
	ErrPlain = errors.New("not sealed")
)

// A sealed value is mark, key id, proof and ciphertext. No value of ours begins
// with the mark otherwise.
const (
	mark     = 0
	idSize   = 2
	proofAt  = 1 + idSize
	Overhead = proofAt + aes.BlockSize
)

// Ring seals with the first of its keys and opens with all. A nil Ring leaves
// everything as it is. Safe for concurrent use.
type Ring struct{ keys []key }

type key struct {
	id                     [idSize]byte
	records, proofs, names [32]byte
}

// New returns a Ring with a key for each secret; nil for none. A secret is any
// text that cannot be guessed. An error holds none of them.
func New(secrets ...string) (*Ring, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	r := &Ring{}
	for i, secret := range secrets {
		k, err := derive(secret)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if r.find(k.id[:]) != nil {
			return nil, fmt.Errorf("key %d cannot be told from another in the list: make a new one", i)
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

func derive(secret string) (key, error) {
	if secret == "" {
		return key{}, errors.New("is empty")
	}
	var k key
	for info, into := range map[string][]byte{
		"id": k.id[:], "records": k.records[:], "proofs": k.proofs[:], "names": k.names[:],
	} {
		b, err := hkdf.Key(sha256.New, []byte(secret), nil, "mcp-gateway sessions, "+info, len(into))
		if err != nil {
			return key{}, err
		}
		copy(into, b)
	}
	return k, nil
}

func (r *Ring) find(id []byte) *key {
	for i := range r.keys {
		if string(r.keys[i].id[:]) == string(id) {
			return &r.keys[i]
		}
	}
	return nil
}

// Seal returns value for a field of a record, sealed with the first key.
func (r *Ring) Seal(record, field, value string) string {
	if r == nil {
		return value
	}
	return r.keys[0].seal(record, field, value)
}

// SealAll returns what Seal could have returned with any of the keys, that of the
// first one first.
func (r *Ring) SealAll(record, field, value string) []string {
	if r == nil {
		return []string{value}
	}
	all := make([]string, len(r.keys))
	for i := range r.keys {
		all[i] = r.keys[i].seal(record, field, value)
	}
	return all
}

// Open undoes Seal for the same record and field. The error is ErrUnknownKey,
// with the id of the key, ErrForged or ErrPlain.
func (r *Ring) Open(record, field, sealed string) (string, error) {
	marked := sealed != "" && sealed[0] == mark
	switch {
	case r == nil && !marked:
		return sealed, nil
	case !marked:
		return "", ErrPlain
	case len(sealed) < Overhead:
		return "", ErrForged
	}
	b := []byte(sealed)
	id, proof, text := b[1:proofAt], b[proofAt:Overhead], b[Overhead:]
	if r == nil {
		return "", fmt.Errorf("%w: %s", ErrUnknownKey, hex.EncodeToString(id))
	}
	k := r.find(id)
	if k == nil {
		return "", fmt.Errorf("%w: %s", ErrUnknownKey, hex.EncodeToString(id))
	}
	k.xor(record, proof, text)
	if value := string(text); hmac.Equal(proof, k.proof(record, field, value)) {
		return value, nil
	}
	return "", ErrForged
}

// Name returns what stands for value where it is to be found again, 12 bytes;
// without a ring it can be guessed from the value. It is
// the same for all rings of the same keys in any order; of the others, when a key
// comes or goes, some have other names.
func (r *Ring) Name(value string) string {
	var sum []byte
	if r == nil {
		plain := sha256.Sum256([]byte(value))
		sum = plain[:]
	} else {
		first := &r.keys[0]
		for i := range r.keys {
			if bytes.Compare(r.keys[i].id[:], first.id[:]) < 0 {
				first = &r.keys[i]
			}
		}
		sum = digest(&first.names, value)
	}
	return string(sum[:12])
}

func (k *key) seal(record, field, value string) string {
	out := make([]byte, Overhead+len(value))
	out[0] = mark
	copy(out[1:], k.id[:])
	copy(out[proofAt:], k.proof(record, field, value))
	copy(out[Overhead:], value)
	k.xor(record, out[proofAt:Overhead], out[Overhead:])
	return string(out)
}

// proof is what only who has the key can say of a value in its place.
func (k *key) proof(record, field, value string) []byte {
	return digest(&k.proofs, record, field, value)[:aes.BlockSize]
}

// xor encrypts a text of a record, or decrypts it.
func (k *key) xor(record string, proof, text []byte) {
	block, err := aes.NewCipher(digest(&k.records, record))
	if err != nil {
		panic("seal: a key of 32 bytes cannot be used: " + err.Error())
	}
	cipher.NewCTR(block, proof).XORKeyStream(text, text)
}

// digest is HMAC-SHA256 of the parts, each with its length.
func digest(key *[32]byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key[:])
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
