package modern_test

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mcp-gateway/internal/modern"
)

// FuzzDecodeHeader: a header stands for one text, as every server reads it, and
// what the gateway writes comes back.
func FuzzDecodeHeader(f *testing.F) {
	for _, value := range []string{"a", "", "=?base64?YQ==?=", "=?base64?YQ?=", "=?base64?YQ==", "=?BASE64?YQ==?=", "=?base64?Y\nQ==?=", "=?base64?YR==?=", "=?base64??=", "=?base64?/w==?=", "=?base64?=?="} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, ok := modern.DecodeHeader(nil, value)
		inside, marked := strings.CutPrefix(string(value), "=?base64?")
		inside, closed := strings.CutSuffix(inside, "?=")
		if marked && closed {
			plain, err := base64.StdEncoding.DecodeString(inside)
			if ok && (err != nil || !bytes.Equal(plain, got) || !utf8.Valid(got)) {
				t.Fatalf("%q is %q, want %q (%v)", value, got, plain, err)
			}
			if ok && base64.StdEncoding.EncodeToString(got) != inside {
				t.Fatalf("%q has a second spelling", value)
			}
		} else if isText := regexp.MustCompile(`^[\t -~]*$`).Match(value); ok != isText || ok && !bytes.Equal(got, value) {
			t.Fatalf("%q is %q, %v", value, got, ok)
		}
		if !utf8.Valid(value) {
			return
		}
		header := modern.AppendHeader(nil, value)
		if i := bytes.IndexFunc(header, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Fatalf("%q becomes %q", value, header)
		}
		if back, ok := modern.DecodeHeader(nil, header); !ok || !bytes.Equal(back, value) {
			t.Fatalf("%q becomes %q becomes %q, %v", value, header, back, ok)
		}
	})
}
