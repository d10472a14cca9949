package dynamicmodule

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/filter"
)

const minimal = `{"path":"/mcp","bodyLimit":1000,"responseLimit":1000,"internalCluster":"internal","askTimeout":"5s"}`

func newConfig(t *testing.T, secret string) *Config {
	t.Helper()
	c, err := NewConfig([]byte(minimal), secret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// records reads a verdict as verdict.h does.
func records(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	for len(b) > 0 {
		if len(b) < 12 {
			t.Fatalf("%d bytes behind the last record", len(b))
		}
		kind, key, value := binary.NativeEndian.Uint32(b), int(binary.NativeEndian.Uint32(b[4:])), int(binary.NativeEndian.Uint32(b[8:]))
		b = b[12:]
		k := string(b[:key])
		if kind == recordSplice {
			k = fmt.Sprint(binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]))
		}
		out = append(out, fmt.Sprintf("%d %s=%s", kind, k, b[key:key+value]))
		b = b[key+value:]
	}
	return out
}

// The question for a newer table says of which one, and when.
func TestEncodeTableQuestion(t *testing.T) {
	t.Parallel()
	c := newConfig(t, "s3cret")
	if err := c.TakeTable(200, []byte(`{"version":"v1","servers":[],"tools":{},"prompts":{}}`), 7); err != nil {
		t.Fatal(err)
	}
	b := c.EncodeTableQuestion(nil)
	if kind, key := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]); kind != recordTable || key != 16 {
		t.Fatalf("kind %d, key of %d bytes", kind, key)
	}
	if got, want := binary.NativeEndian.Uint64(b[12:]), c.Mark().Table; got != want || got == 0 {
		t.Errorf("of table %d, want %d", got, want)
	}
	if got, want := int64(binary.NativeEndian.Uint64(b[20:])), c.Mark().At; got != want {
		t.Errorf("at %d, want %d", got, want)
	}
	want := []string{"1 :method=GET", "1 :path=/v1/table", "1 host=mcp-broker", `1 if-none-match="v1"`, "1 authorization=Bearer s3cret"}
	if diff := cmp.Diff(want, records(t, b[28:])); diff != "" {
		t.Error(diff)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	c := newConfig(t, "s3cret")
	tests := []struct {
		name    string
		d       filter.Decision
		verdict Verdict
		want    []string
	}{
		{
			"Forward",
			filter.Decision{
				Action: filter.Pass, Reroute: true, Plain: true, Revalidate: true,
				Edits:  []filter.Edit{{Name: "x-mcp-cluster", Value: []byte("a")}, {Name: "x-mcp-x", Remove: true}},
				Splice: filter.Splice{Start: 3, End: 70000, With: []byte(`"n"`)},
				Notes:  []filter.Note{{Key: "server", Value: []byte("a")}},
			},
			Verdict(filter.Pass) | Reroute | Plain | Revalidate,
			[]string{"1 x-mcp-cluster=a", "2 x-mcp-x=", `3 3 70000="n"`},
		},
		{
			"Accepted",
			filter.Decision{Action: filter.Reply, Status: 202, PlainJSON: true, Done: true},
			Verdict(filter.Reply) | PlainJSON | Done,
			[]string{"4 ="},
		},
		{
			"Reply",
			filter.Decision{
				Action: filter.Reply, Status: 200, Body: []byte("{}"), Reason: "unknown_tool", Done: true,
				Edits: []filter.Edit{{Name: "content-type", Value: []byte("application/json")}},
				Notes: []filter.Note{{Key: "error", Value: []byte("unknown_tool")}},
			},
			Verdict(filter.Reply) | Done,
			[]string{"1 content-type=application/json", "4 ={}", "5 error=unknown_tool", "6 unknown_tool="},
		},
		{
			"Ask",
			filter.Decision{Action: filter.Ask, Question: filter.Question{Method: "POST", Path: "/v1/resolve", Body: []byte("{}")}},
			Verdict(filter.Ask),
			[]string{"1 :method=POST", "1 :path=/v1/resolve", "1 host=mcp-broker", "1 authorization=Bearer s3cret", "1 content-type=application/json", "4 ={}"},
		},
		{
			"EmptiedChunk",
			filter.Decision{Action: filter.Pass, Replace: true},
			Verdict(filter.Pass) | Replace,
			[]string{"4 ="},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, v := c.Encode(nil, &tt.d)
			if v != tt.verdict {
				t.Errorf("verdict %x, want %x", v, tt.verdict)
			}
			if diff := cmp.Diff(tt.want, records(t, b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTableQuestionWithoutSecret(t *testing.T) {
	t.Parallel()
	c := newConfig(t, "")
	got := records(t, c.EncodeQuestion(nil, filter.Question{Method: "GET", Path: "/v1/table", ETag: `"x"`}))
	want := []string{"1 :method=GET", "1 :path=/v1/table", "1 host=mcp-broker", `1 if-none-match="x"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigIsStrict(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{}", `{"path":"/mcp","bodyLimit":1,"responseLimit":1,"internalCluster":"x","askTimeout":"5s","more":1}`, minimal + "{}"} {
		if _, err := NewConfig([]byte(text), ""); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}
