package tag

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
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
	// Tool is the exposed name of the one that the task is of. It stands in the id, so
	// that what holds for the tool holds for its tasks.
	Tool string
}

// taskSeal is how much of the HMAC stands in an id: 96 bits.
const taskSeal = 16

// Seals reports whether ids change.
func (o Owner) Seals() bool { return o.Principal != "" }

// Seal returns the id that the client gets for the server's own: "seal~5~tool~own", with
// the length of the tool's name.
func (o Owner) Seal(own string) string {
	if !o.Seals() {
		return own
	}
	return o.seal(own) + string(mark) + strconv.Itoa(len(o.Tool)) + string(mark) + o.Tool + string(mark) + own
}

// Open undoes Seal, whatever the tool of o; false for an id that was not made for this
// principal and server. Where nothing is sealed no id tells its tool.
func (o Owner) Open(id string) (tool, own string, ok bool) {
	if !o.Seals() {
		return "", id, true
	}
	if len(o.Key) == 0 || len(id) <= taskSeal || id[taskSeal] != mark {
		return "", "", false
	}
	length, rest, _ := strings.Cut(id[taskSeal+1:], string(mark))
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n >= len(rest) || rest[n] != mark || length != strconv.Itoa(n) {
		return "", "", false
	}
	o.Tool, own = rest[:n], rest[n+1:]
	return o.Tool, own, subtle.ConstantTimeCompare([]byte(id[:taskSeal]), []byte(o.seal(own))) == 1
}

func (o Owner) seal(own string) string {
	h := hmac.New(sha256.New, o.Key)
	for _, part := range []string{o.Principal, o.Server, o.Tool, own} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:taskSeal/4*3])
}
