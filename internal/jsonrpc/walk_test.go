package jsonrpc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/jsonrpc"
)

// members returns what Members reports: keys and values in turn.
func members(text []byte) ([]string, error) {
	var got []string
	err := jsonrpc.Members(text, func(key, value jsonrpc.Span) bool {
		got = append(got, string(key.Of(text)), string(value.Of(text)))
		return true
	})
	return got, err
}

func elements(text []byte) ([]string, error) {
	var got []string
	err := jsonrpc.Elements(text, func(value jsonrpc.Span) bool {
		got = append(got, string(value.Of(text)))
		return true
	})
	return got, err
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want []string
		ok   bool
	}{
		{`{}`, nil, true},
		{" \n{ } ", nil, true},
		{`{"a":1}`, []string{`"a"`, "1"}, true},
		{`{ "a" : {"b":[]} , "a" : "x\"}" }`, []string{`"a"`, `{"b":[]}`, `"a"`, `"x\"}"`}, true},
		{`{"a":1}x`, []string{`"a"`, "1"}, false},
		{`{"a":1,}`, []string{`"a"`, "1"}, false},
		{`{"a":1 "b":2}`, []string{`"a"`, "1"}, false},
		{`{"a" 1}`, nil, false},
		{`{1:1}`, nil, false},
		{`{"a":01}`, []string{`"a"`, "0"}, false},
		{`{"a":1`, []string{`"a"`, "1"}, false},
		{`{`, nil, false},
		{``, nil, false},
		{`[]`, nil, false},
		{`"a"`, nil, false},
		{`{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + "}",
			[]string{`"a"`, strings.Repeat("[", 127) + strings.Repeat("]", 127)}, true},
		{`{"a":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + "}", nil, false},
	} {
		got, err := members([]byte(tt.text))
		if (err == nil) != tt.ok {
			t.Errorf("Members(%.40s): error %v, want ok %v", tt.text, err, tt.ok)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Members(%.40s) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want []string
		ok   bool
	}{
		{`[]`, nil, true},
		{" [ ] ", nil, true},
		{`[1]`, []string{"1"}, true},
		{`[ 1.0 , {"a":[2]} , null,"," ]`, []string{"1.0", `{"a":[2]}`, "null", `","`}, true},
		{`[1,]`, []string{"1"}, false},
		{`[1 2]`, []string{"1"}, false},
		{`[1]]`, []string{"1"}, false},
		{`[1`, []string{"1"}, false},
		{`[`, nil, false},
		{``, nil, false},
		{`{}`, nil, false},
		{`7`, nil, false},
	} {
		got, err := elements([]byte(tt.text))
		if (err == nil) != tt.ok {
			t.Errorf("Elements(%s): error %v, want ok %v", tt.text, err, tt.ok)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Elements(%s) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestWalkStopsWhenAsked(t *testing.T) {
	t.Parallel()
	calls := 0
	if err := jsonrpc.Members([]byte(`{"a":1,"b":`), func(_, _ jsonrpc.Span) bool { calls++; return false }); err != nil {
		t.Errorf("Members: %v, want the rest unread", err)
	}
	if err := jsonrpc.Elements([]byte(`[1,`), func(jsonrpc.Span) bool { calls++; return false }); err != nil {
		t.Errorf("Elements: %v, want the rest unread", err)
	}
	if calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
}

func TestWalkAllocatesNothing(t *testing.T) {
	object, array := []byte(`{"a":{"b":1},"c":[2]}`), []byte(`[1,"a",{}]`)
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		jsonrpc.Members(object, func(key, _ jsonrpc.Span) bool { n += key.End; return true })
		jsonrpc.Elements(array, func(value jsonrpc.Span) bool { n += value.End; return true })
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
