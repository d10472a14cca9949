package tag

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
)

// Owner is whose the tasks of a server are that a client starts there: their ids
// carry a seal that fits no other principal (2026-07-28, extensions/tasks, Security
// Considerations). The zero value seals nothing: a task is whoever's who knows its id.
type Owner struct {
	// Key is known to the gateway alone. Without one no id is anybody's.
	Key []byte
	// Principal is the ID of who the client has proved to be.
	Principal string
	Server    string
}

// taskSeal is how much of the HMAC stands in an id: 96 bits.
const taskSeal = 16

// Seals reports whether ids change.
func (o Owner) Seals() bool { return o.Principal != "" }

// Seal returns the id that the client gets for the server's own.
func (o Owner) Seal(own string) string {
	if !o.Seals() {
		return own
	}
	return o.seal(own) + string(mark) + own
}

// Open undoes Seal; false for an id that was not made for this principal and server.
func (o Owner) Open(id string) (own string, ok bool) {
	if !o.Seals() {
		return id, true
	}
	if len(o.Key) == 0 || len(id) <= taskSeal || id[taskSeal] != mark {
		return "", false
	}
	own = id[taskSeal+1:]
	return own, subtle.ConstantTimeCompare([]byte(id[:taskSeal]), []byte(o.seal(own))) == 1
}

func (o Owner) seal(own string) string {
	h := hmac.New(sha256.New, o.Key)
	for _, part := range []string{o.Principal, o.Server, own} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:taskSeal/4*3])
}
