package principal

import (
	"encoding/base64"
	"slices"
	"testing"
)

func encoded(claims string) string { return base64.RawURLEncoding.EncodeToString([]byte(claims)) }

func TestFromClaims(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, claims    string
		subject, client string
		scopes          []string
	}{
		{"as RFC 9068", `{"iss":"https://a","sub":"u","client_id":"c","scope":"read write"}`, "u", "c", []string{"read", "write"}},
		{"scp as a list", `{"iss":"https://a","sub":"u","azp":"c","scp":["read","write",1]}`, "u", "c", []string{"read", "write"}},
		{"scp as a string", `{"iss":"https://a","sub":"u","scp":"read write"}`, "u", "", []string{"read", "write"}},
		{"a client for itself", `{"iss":"https://a","client_id":"c"}`, "c", "c", nil},
		{"no string where one is due", `{"iss":"https://a","sub":"u","client_id":7,"scope":7}`, "u", "", nil},
	} {
		p, err := FromClaims(encoded(test.claims))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if p.Issuer != "https://a" || p.Subject != test.subject || p.Client != test.client || !slices.Equal(p.Scopes, test.scopes) {
			t.Errorf("%s: %+v", test.name, p)
		}
	}
	if _, err := FromClaims(encoded(`{"iss":"https://a","sub":"u"}`) + "=="); err != nil {
		t.Errorf("with padding: %v", err)
	}
}

func TestAudience(t *testing.T) {
	t.Parallel()
	for aud, want := range map[string][]string{
		`"x"`: {"x"}, `["x","y"]`: {"x", "y"}, `["x",1]`: {"x"}, `[]`: nil, `{"x":1}`: nil, `null`: nil,
	} {
		p, err := FromClaims(encoded(`{"iss":"https://a","sub":"u","aud":` + aud + `}`))
		if err != nil || !slices.Equal(p.Audience, want) {
			t.Errorf("%s: %v, %v", aud, p, err)
		}
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	for exp, want := range map[string]int64{`1700000000`: 1700000000, `1700000000.9`: 1700000000, `"1"`: 0, `-1`: 0, `1e300`: 0, `null`: 0} {
		p, err := FromClaims(encoded(`{"iss":"https://a","sub":"u","exp":` + exp + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Expires(); got.IsZero() != (want == 0) || want != 0 && got.Unix() != want {
			t.Errorf("%s: %v", exp, got)
		}
	}
	if got := FromKey("ci").Expires(); !got.IsZero() {
		t.Errorf("a key: %v", got)
	}
}

func TestFromClaimsRefuses(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"nothing": "", "no base64": "*", "no JSON": encoded("{"), "no object": encoded("[]"), "null": encoded("null"),
		"no issuer": encoded(`{"sub":"u"}`), "no subject": encoded(`{"iss":"https://a"}`), "a number as subject": encoded(`{"iss":"https://a","sub":1}`),
	} {
		if p, err := FromClaims(payload); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// Nobody is taken for somebody else, and nobody for two.
func TestID(t *testing.T) {
	t.Parallel()
	from := func(claims string) string {
		p, err := FromClaims(encoded(claims))
		if err != nil {
			t.Fatal(err)
		}
		return p.ID()
	}
	ids := map[string]string{
		"u at a":             from(`{"iss":"a","sub":"u"}`),
		"u at b":             from(`{"iss":"b","sub":"u"}`),
		"v at a":             from(`{"iss":"a","sub":"v"}`),
		"shifted":            from(`{"iss":"au","sub":"u"}`),
		"client u at a":      from(`{"iss":"a","client_id":"u"}`),
		"the owner of a key": FromKey("u").ID(),
	}
	seen := map[string]string{}
	for name, id := range ids {
		if len(id) != 64 || seen[id] != "" {
			t.Errorf("%s has the id %q of %q", name, id, seen[id])
		}
		seen[id] = name
	}
	if from(`{"iss":"a","sub":"u","exp":1,"client_id":"c"}`) != ids["u at a"] {
		t.Error("another token of the same subject is somebody else")
	}
}

func TestHasScopes(t *testing.T) {
	t.Parallel()
	p := &Principal{Scopes: []string{"read", "write"}}
	for _, test := range []struct {
		want []string
		ok   bool
	}{{nil, true}, {[]string{"read"}, true}, {[]string{"write", "read"}, true}, {[]string{"read", "admin"}, false}} {
		if p.HasScopes(test.want) != test.ok {
			t.Errorf("HasScopes(%v) = %v", test.want, !test.ok)
		}
	}
}
