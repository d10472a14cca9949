package requeststate

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Canonical returns raw JSON with the keys of objects in order and without space,
// to compare it; numbers keep their spelling. What two readers could take for
// different values, or is no JSON, comes back as it is.
func Canonical(raw []byte) []byte {
	v := jsontext.Value(bytes.Clone(raw))
	if v.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)) != nil {
		return raw
	}
	return v
}
