package token

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
)

// An id holds the time at which its lifetime is over, in ms since 1970, 16 bytes
// by chance, and five texts with their lengths.

const chance = 16

func encode(v session.Session, end time.Time) string {
	b := binary.AppendUvarint(nil, uint64(end.UnixMilli()))
	b = append(b, random()...)
	for _, text := range []string{string(v.Version), v.Endpoint, v.Principal, string(v.ClientInfo), string(v.Capabilities)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return string(b)
}

func random() []byte {
	b := make([]byte, chance)
	_, _ = rand.Read(b) // never fails
	return b
}

// decode undoes encode.
func decode(text string) (v session.Session, end time.Time, ok bool) {
	r := strings.NewReader(text)
	ms, err := binary.ReadUvarint(r)
	if err != nil || r.Len() < chance {
		return v, end, false
	}
	_, _ = r.Seek(chance, io.SeekCurrent)
	var texts [5]string
	for i := range texts {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(r.Len()) {
			return v, end, false
		}
		at := len(text) - r.Len()
		texts[i] = text[at : at+int(n)]
		_, _ = r.Seek(int64(n), io.SeekCurrent)
	}
	v = session.Session{Version: mcp.Revision(texts[0]), Endpoint: texts[1], Principal: texts[2], ClientInfo: raw(texts[3]), Capabilities: raw(texts[4])}
	return v, time.UnixMilli(int64(ms)), r.Len() == 0
}

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
