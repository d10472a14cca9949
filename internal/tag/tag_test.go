package tag_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/tag"
)

var session = []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")

// seal is made with the standard library's HMAC.
func seal(session []byte, server string) string {
	mac := hmac.New(sha256.New, session)
	mac.Write([]byte(server))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:12]
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`1`, `-1.0`, `9007199254740993`, `"a"`, `"a~b\"\\\u00e9"`, `""`} {
		m := tag.NewMarker(session, "my.server-1")
		for range 2 {
			token := m.AppendToken(nil, []byte(raw))
			if !json.Valid(token) {
				t.Errorf("%s: %s is no JSON", raw, token)
			}
			server, back, ok := tag.CutToken(session, token, nil)
			if string(server) != "my.server-1" || string(back) != raw || !ok {
				t.Errorf("CutToken(%s) = %q, %q, %v, want %s", token, server, back, ok, raw)
			}
		}
	}
}

func TestSealIsHMAC(t *testing.T) {
	t.Parallel()
	for _, session := range []string{"s", string(session), strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 300)} {
		for _, server := range []string{"a", "weather", strings.Repeat("s", 63), strings.Repeat("s", 200)} {
			m := tag.NewMarker([]byte(session), server)
			want := server + "~" + seal([]byte(session), server) + "~7"
			if got := string(m.AppendEvent(nil, []byte("7"))); got != want {
				t.Errorf("%q for session %q", got, session)
			}
		}
	}
}

// What somebody made up must not become part of a message to a server.
func TestForgedToken(t *testing.T) {
	t.Parallel()
	m := "a~" + seal(session, "a") + "~"
	for _, token := range []string{
		`1`, `null`, `"x"`, `"~1"`, `"a~1"`, `"a~~1"`, `"~` + seal(session, "") + `~1"`,
		// The seal of another server, session, or nobody; a part of the right one.
		`"b~` + seal(session, "a") + `~1"`, `"a~` + seal([]byte("other"), "a") + `~1"`, `"a~` + seal(nil, "a") + `~1"`,
		`"a~` + seal(session, "a")[:11] + `~1"`, `"a~` + seal(session, "a") + `x~1"`, `"a~` + seal(session, "a") + `1"`, `"a~AAAAAAAAAAAA~1"`,
		`"a~` + seal(session, "a") + `"`, `"` + strings.Repeat("a", 200) + `~` + seal(session, strings.Repeat("a", 200)) + `~1"`,
		// The right one before what is no token.
		`"` + m + `"`, `"` + m + `null"`, `"` + m + `{}"`, `"` + m + `1,\"method\":\"x\""`, `"` + m + ` 1"`, `"` + m + `1 "`,
		`"` + m + `01"`, `"` + m + `\"b"`, `"` + m + `1}"`, `"` + m + `tru"`,
	} {
		if server, raw, ok := tag.CutToken(session, []byte(token), nil); ok {
			t.Errorf("CutToken(%s) = %q, %q, want none", token, server, raw)
		}
	}
	if _, raw, ok := tag.CutToken(session, []byte(`"`+m+`1"`), nil); !ok || string(raw) != "1" {
		t.Errorf("the right one gives %q, %v", raw, ok)
	}
	// Without a session everybody knows the key.
	if _, _, ok := tag.CutToken(nil, []byte(`"a~`+seal(nil, "a")+`~1"`), nil); ok {
		t.Error("a mark of no session is taken")
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	m := tag.NewMarker(session, "a")
	right, wrong := seal(session, "a"), seal(session, "b")
	for _, tt := range []struct {
		text, server, id string
		merged, ok       bool
	}{
		{string(m.AppendEvent(nil, []byte("x~1"))), "a", "x~1", false, true},
		{string(m.AppendMerged(nil, []byte(""))), "a", "", true, true},
		{"~a~" + right + "~7", "a", "7", true, true},
		{"", "", "", false, false},
		{"x", "", "", false, false},
		{"~", "", "", false, false},
		{"~~x", "", "", false, false},
		{"a~7", "", "", false, false},
		{"a~" + wrong + "~7", "", "", false, false},
		{"~a~" + wrong + "~7", "", "", false, false},
		{"~~" + seal(session, "") + "~7", "", "", false, false},
	} {
		server, id, merged, ok := tag.CutEvent(session, tt.text)
		if server != tt.server || id != tt.id || merged != tt.merged || ok != tt.ok {
			t.Errorf("CutEvent(%q) = %q, %q, %v, %v", tt.text, server, id, merged, ok)
		}
	}
}

func TestMarkingAnEventAllocatesNothing(t *testing.T) {
	var dst []byte
	id := []byte("7")
	if n := testing.AllocsPerRun(100, func() {
		m := tag.NewMarker(session, "weather")
		dst = m.AppendEvent(dst[:0], id)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCutToken: what is taken is exactly what was given out for this session.
func FuzzCutToken(f *testing.F) {
	m := tag.NewMarker(session, "docs")
	for _, token := range []string{`"docs~1"`, `"b~AAAAAAAAAAAA~1"`, string(m.AppendToken(nil, []byte("1"))), string(m.AppendToken(nil, []byte(`"a~b"`)))} {
		f.Add([]byte(token))
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		server, raw, ok := tag.CutToken(session, token, nil)
		if !ok {
			return
		}
		var text string
		if err := json.Unmarshal(token, &text); err != nil {
			t.Fatalf("%q is no string: %v", token, err)
		}
		if want := string(server) + "~" + seal(session, string(server)) + "~" + string(raw); text != want || !json.Valid(raw) {
			t.Fatalf("%q is taken for %q", text, want)
		}
	})
}

// FuzzCutEvent is the same for ids of events, and of both for another session:
// there nothing is taken.
func FuzzCutEvent(f *testing.F) {
	m := tag.NewMarker(session, "docs")
	for _, id := range []string{"", "~", "docs~1", "docs~AAAAAAAAAAAA~1", string(m.AppendEvent(nil, []byte("1"))), string(m.AppendMerged(nil, []byte("a~b")))} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if server, _, _, ok := tag.CutEvent([]byte("other"), text); ok {
			t.Fatalf("%q is an event of %q in another session", text, server)
		}
		server, id, merged, ok := tag.CutEvent(session, text)
		if !ok {
			return
		}
		m := tag.NewMarker(session, server)
		want := m.AppendEvent(nil, []byte(id))
		if merged {
			want = m.AppendMerged(nil, []byte(id))
		}
		if text != string(want) {
			t.Fatalf("%q is taken for %q", text, want)
		}
	})
}
