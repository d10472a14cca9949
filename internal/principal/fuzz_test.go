package principal

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzFromClaims: who two payloads are is the same only if issuer and subject are,
// as a parser reads them that loses nothing.
func FuzzFromClaims(f *testing.F) {
	for _, claims := range []string{
		`{"iss":"https://a","sub":"u","client_id":"c","scope":"read write"}`, `{"iss":"https://a","azp":"u","scp":["read",1]}`,
		`{"iss":"https://a","sub":"u","sub":"v"}`, `{"iss":"https://a","sub":"\ud800"}`, "{\"iss\":\"https://a\",\"sub\":\"\xff\"}",
		`{"iss":"","sub":"u"}`, `{"iss":"https://a","sub":7}`, `{"ISS":"https://a","Sub":"u"}`, `null`, `[]`, `{}x`,
	} {
		f.Add([]byte(claims), []byte(`{"iss":"https://a","sub":"u"}`))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		p, err := FromClaims(base64.RawURLEncoding.EncodeToString(one))
		if err != nil {
			return
		}
		var raw map[string]json.RawMessage
		if json.Unmarshal(one, &raw) != nil {
			t.Fatalf("%q is a principal and no object", one)
		}
		for name, value := range map[string]string{"iss": p.Issuer, "sub": p.Subject} {
			if value == "" || strings.ContainsRune(value, '\uFFFD') || len(p.ID()) != 64 {
				t.Fatalf("%s %q of %q", name, value, one)
			}
			token, there := raw[name]
			if !there && name == "sub" || len(token) > 0 && token[0] != '"' {
				continue // the client is it
			}
			var want string
			if json.Unmarshal(token, &want) != nil || want != "" && want != value {
				t.Fatalf("%s is %q in %q", name, value, one)
			}
		}
		q, err := FromClaims(base64.URLEncoding.EncodeToString(two))
		if err != nil {
			return
		}
		same := p.Issuer == q.Issuer && p.Subject == q.Subject
		if p.ID() == q.ID() && !same {
			t.Fatalf("%q and %q are one principal", one, two)
		}
		if again, err := FromClaims(base64.URLEncoding.EncodeToString(one)); err != nil || again.ID() != p.ID() {
			t.Fatalf("%q is another principal the second time", one)
		}
	})
}
