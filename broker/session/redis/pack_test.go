package redis

import (
	"strings"
	"testing"

	"mcp-gateway/broker/session/seal"
)

func TestPack(t *testing.T) {
	t.Parallel()
	ring, err := seal.New("one")
	if err != nil {
		t.Fatal(err)
	}
	sealed, plain := &Store{ring: ring}, &Store{}
	const uuid = "01234567-89ab-4def-8123-456789abcdef"
	for id, want := range map[string]int{
		"":                                     1,
		"x":                                    2,
		"abcdefg":                              8,
		uuid:                                   17,
		"mcp-session-" + uuid:                  29,
		strings.ToUpper(uuid):                  37,
		uuid[1:] + "0":                         37,
		uuid[:8] + "x" + uuid[9:]:              37,
		strings.ReplaceAll(uuid, "-", ""):      17,
		strings.ReplaceAll(uuid, "-", "")[1:]:  32,
		strings.ReplaceAll(uuid, "-", "é")[1:]: 40,
	} {
		packed := sealed.pack(id)
		if got, ok := sealed.unpack(packed); !ok || got != id || len(packed) != want {
			t.Errorf("%q: %d bytes, come back as %q, %v; want %d", id, len(packed), got, ok, want)
		}
		if plain.pack(id) != id {
			t.Errorf("%q is packed although it is not sealed", id)
		}
	}
	for _, packed := range []string{"", "x", "u", "u0123456789"} {
		if id, ok := sealed.unpack(packed); ok {
			t.Errorf("%q: taken for %q", packed, id)
		}
	}
}

func TestPackPrincipal(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("0123456789abcdef", 4)
	for p, want := range map[string]int{"": 0, "p": 1, digest: 33, strings.ToUpper(digest): 64, digest[1:]: 63, "\x01" + digest[:32]: 33} {
		packed := packPrincipal(p)
		if len(packed) != want {
			t.Errorf("%q: %d bytes, want %d", p, len(packed), want)
		}
		if got := unpackPrincipal(packed); got != p && p[:1] != packedDigest {
			t.Errorf("%q comes back as %q", p, got)
		}
	}
}

func FuzzPack(f *testing.F) {
	ring, err := seal.New("one")
	if err != nil {
		f.Fatal(err)
	}
	s := &Store{ring: ring}
	f.Add("mcp-session-01234567-89ab-4def-8123-456789abcdef")
	f.Add("0123456789abcdef")
	f.Fuzz(func(t *testing.T, id string) {
		if got, ok := s.unpack(s.pack(id)); !ok || got != id {
			t.Errorf("%q comes back as %q, %v", id, got, ok)
		}
		_, _ = s.unpack(id) // must not panic
	})
}
