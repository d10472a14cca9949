package broker

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
)

// What the broker has keys for.
const (
	forTasks    = "mcp-gateway ids of tasks, HMAC-SHA256"
	forVersions = "mcp-gateway versions of routing tables, HMAC-SHA256"
)

// newKey returns the key for one purpose: the same at all replicas with one secret,
// and after a restart; without a secret at this one alone.
func newKey(secret, purpose string) []byte {
	from := []byte(secret)
	if secret == "" {
		from = make([]byte, 32)
		_, _ = rand.Read(from) // never fails
	}
	key, err := hkdf.Key(sha256.New, from, nil, purpose, 32)
	if err != nil {
		panic("broker: no key of 32 bytes: " + err.Error())
	}
	return key
}
