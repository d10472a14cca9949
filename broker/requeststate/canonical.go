package requeststate

import (
	"bytes"
	"encoding/json"
)

// Canonical returns raw JSON with the keys of objects in order and without space,
// to compare it; numbers keep their spelling. What is no JSON comes back as it is.
func Canonical(raw []byte) []byte {
	if len(raw) == 0 {
		return raw
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return raw
	}
	out, err := json.Marshal(value)
	if err != nil {
		return raw
	}
	return out
}
