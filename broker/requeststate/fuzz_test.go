package requeststate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzOpen: nothing opens but what was sealed, for the binding that it was sealed
// for; whatever the client made of the text and of its arguments.
func FuzzOpen(f *testing.F) {
	s := New("secret")
	text := s.Seal(state, bound)
	f.Add(text, "p", "t", bound.Arguments)
	f.Add(text+"=", "p", "t", []byte(`{"b":[2],"a":1.0}`))
	f.Add(text[:40]+text[41:], "p", "t", []byte(`{"a":1,"a":1,"b":[2]}`))
	f.Add("", "q", "", []byte(nil))
	f.Fuzz(func(t *testing.T, text, principal, target string, arguments []byte) {
		b := bound
		b.Principal, b.Target, b.Arguments = principal, target, arguments
		got, err := s.Open(text, b, now)
		if err != nil {
			if err != ErrInvalid || !reflect.DeepEqual(got, State{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		if principal != bound.Principal || target != bound.Target || !bytes.Equal(Canonical(arguments), Canonical(bound.Arguments)) {
			t.Fatalf("%q opens for %+v", text, b)
		}
	})
}

// FuzzCanonical: arguments that count as the same are the same to a server that
// decodes them, and what is canonical stays so.
func FuzzCanonical(f *testing.F) {
	for _, raw := range []string{`{"a":1,"b":[2]}`, ` {"b": [2], "a":1} `, `{"a":1,"a":2}`, `{"a":1}{"b":2}`, `{"a":1e400}`, `1`, ``, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(raw), []byte(`{"b":[2],"a":1}`))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ca, cb := Canonical(a), Canonical(b)
		if again := Canonical(ca); !bytes.Equal(again, ca) {
			t.Fatalf("%q becomes %q, that %q", a, ca, again)
		}
		if !bytes.Equal(ca, cb) || !json.Valid(a) || !json.Valid(b) {
			return
		}
		var x, y any
		if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
			return // a number that no float holds
		}
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("%q and %q count as the same", a, b)
		}
	})
}
