package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/sse"
)

// event is an sse.Event that outlives the callback.
type event struct {
	Name, Data, ID, Retry, Comment string
	HasData, HasID, HasComment     bool
}

func eventOf(e sse.Event) event {
	return event{
		Name: string(e.Name), Data: string(e.Data), ID: string(e.ID), Retry: string(e.Retry), Comment: string(e.Comment),
		HasData: e.HasData, HasID: e.HasID, HasComment: e.HasComment,
	}
}

// parse feeds stream in pieces of the given sizes; the last size repeats.
func parse(limit int, stream []byte, sizes ...int) ([]event, error) {
	p := sse.Parser{Limit: limit}
	var events []event
	for len(stream) > 0 {
		n := min(len(stream), max(1, sizes[0]))
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		// A copy that is spoiled behind the call shows a kept reference.
		chunk := bytes.Clone(stream[:n])
		if err := p.Feed(chunk, func(e sse.Event) error {
			events = append(events, eventOf(e))
			return nil
		}); err != nil {
			return events, err
		}
		for i := range chunk {
			chunk[i] = '!'
		}
		stream = stream[n:]
	}
	return events, nil
}

func data(text string) event    { return event{Data: text, HasData: true} }
func comment(text string) event { return event{Comment: text, HasComment: true} }

// A parser that is reset knows nothing of the stream before, which ended anywhere.
func TestReset(t *testing.T) {
	t.Parallel()
	var p sse.Parser
	var events []event
	take := func(e sse.Event) error {
		events = append(events, eventOf(e))
		return nil
	}
	for _, cut := range []string{"\xEF", "id: 1\nevent: e\nretry: 1\ndata: x\ndata: y", "data: x\r", ": c", "da", strings.Repeat("data: x\n", 99)} {
		p.Reset(100)
		_ = p.Feed([]byte(cut), take)
		events = nil
		p.Reset(3)
		if err := p.Feed([]byte("data: z\n\n"), take); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]event{data("z")}, events); diff != "" {
			t.Errorf("after %q:\n%s", cut, diff)
		}
		if err := p.Feed([]byte("data: zzzz\n\n"), take); !errors.Is(err, sse.ErrTooLarge) {
			t.Errorf("after %q: error %v", cut, err)
		}
	}
}

var streams = []struct {
	name, stream string
	want         []event
}{
	{"Empty", "", nil},
	{"LF", "data: a\n\ndata: b\n\n", []event{data("a"), data("b")}},
	{"CR", "data: a\r\rdata: b\r\r", []event{data("a"), data("b")}},
	{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []event{data("a"), data("b")}},
	{"MixedLineEnds", "data: a\r\ndata: b\rdata: c\ndata: d\n\r\ndata: e\r\n\ndata: f\n\r", []event{data("a\nb\nc\nd"), data("e"), data("f")}},
	{"LineFeedThenReturnIsTwo", "data: a\n\rdata: b\r\n\r\n", []event{data("a"), data("b")}},
	{"ByteOrderMark", "\xEF\xBB\xBFdata: a\n\n", []event{data("a")}},
	{"OnlyOneByteOrderMark", "\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n", nil},
	{"CutByteOrderMark", "\xEF\xBBdata: a\n\ndata: b\n\n", []event{data("b")}},
	{"ByteOrderMarkBeforeCommentIsSkipped", "\xEF\xBB\xBF:c\n", []event{comment("c")}},
	{"ByteOrderMarkLaterIsText", "data: \xEF\xBB\xBFa\n\n", []event{data("\xEF\xBB\xBFa")}},
	{"NoColon", "data\n\n", []event{data("")}},
	{"NoColonTwice", "data\ndata\n\n", []event{data("\n")}},
	{"EmptyData", "data:\n\n", []event{data("")}},
	{"OneSpaceIsCut", "data:a\n\ndata: a\n\ndata:  a\n\ndata: \n\n", []event{data("a"), data("a"), data(" a"), data("")}},
	{"TabIsKept", "data:\ta\n\n", []event{data("\ta")}},
	{"ColonInValue", "data: a:b: c\n\n", []event{data("a:b: c")}},
	{"Lines", "data: a\ndata:\ndata: b\n\n", []event{data("a\n\nb")}},
	{"AllFields", "event: message\nid: 7\nretry: 1500\ndata: {}\n\n",
		[]event{{Name: "message", ID: "7", HasID: true, Retry: "1500", Data: "{}", HasData: true}}},
	{"LastOfEachFieldCounts", "event: a\nevent: b\nid: 1\nid: 2\nretry: 1\nretry: 2\ndata\n\n",
		[]event{{Name: "b", ID: "2", HasID: true, Retry: "2", HasData: true}}},
	{"FieldsDoNotStay", "event: a\nid: 1\nretry: 1\ndata: x\n\ndata: y\n\n",
		[]event{{Name: "a", ID: "1", HasID: true, Retry: "1", Data: "x", HasData: true}, data("y")}},
	{"EmptyEventName", "event: a\nevent\ndata: x\n\n", []event{data("x")}},
	{"EmptyID", "id\ndata: x\n\n", []event{{HasID: true, Data: "x", HasData: true}}},
	{"IDWithNUL", "id: a\x00b\ndata: x\n\n", []event{data("x")}},
	{"IDWithNULKeepsTheFormer", "id: 1\nid: a\x00b\ndata: x\n\n", []event{{ID: "1", HasID: true, Data: "x", HasData: true}}},
	{"IDWithoutData", "id: 1\n\n", []event{{ID: "1", HasID: true}}},
	{"EmptyEventNameAlone", "event:\n\n", nil},
	{"EventWithoutData", "event: ping\n\n", []event{{Name: "ping"}}},
	{"BadRetryKeepsTheFormer", "retry: 5\nretry:\nretry: x\n\n", []event{{Retry: "5"}}},
	{"RetryWithoutData", "retry: 10\n\n", []event{{Retry: "10"}}},
	{"RetryOnlyDigits", "retry: 10s\nretry: -1\nretry: 1.0\nretry:\nretry:  5\nretry: \u0663\ndata: x\n\n", []event{data("x")}},
	{"Priming", "id: 0\ndata:\n\n", []event{{ID: "0", HasID: true, HasData: true}}},
	{"UnknownFields", "foo: bar\nDATA: a\ndatax: b\n data: c\neventss: d\nidx: 1\ndata : e\ndata: y\n\n", []event{data("y")}},
	{"UnknownFieldsAlone", "foo: bar\n\nfoo\n\n", nil},
	{"Comments", ": keep-alive\n\n:\n:x\n", []event{comment(" keep-alive"), comment(""), comment("x")}},
	{"CommentInsideEvent", "data: a\n: c\ndata: b\n\n", []event{comment(" c"), data("a\nb")}},
	{"BlankLines", "\n\r\n\r\n\n\ndata: a\n\n\n\n", []event{data("a")}},
	{"NoFinalBlankLine", "data: a\n\ndata: b\n", []event{data("a")}},
	{"NoFinalLineEnd", "data: a\n\ndata: b", []event{data("a")}},
	{"NotUTF8", "data: \xff\xfe\n\n", []event{data("\xff\xfe")}},
	{"NULInName", "event: a\x00\ndata: x\n\n", []event{{Name: "a\x00", Data: "x", HasData: true}}},
	{"NULInData", "data: a\x00b\n\n", []event{data("a\x00b")}},
}

func TestParser(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= 9; size++ {
				got, err := parse(0, []byte(tt.stream), size)
				if err != nil {
					t.Fatalf("chunks of %d: %v", size, err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("chunks of %d (-want +got):\n%s", size, diff)
				}
			}
			if got, err := parse(0, []byte(tt.stream), len(tt.stream)); err != nil || cmp.Diff(tt.want, got) != "" {
				t.Errorf("one chunk: %v (-want +got):\n%s", err, cmp.Diff(tt.want, got))
			}
		})
	}
}

func TestEmptyChunks(t *testing.T) {
	t.Parallel()
	var p sse.Parser
	var got []event
	for _, chunk := range []string{"", "\xEF", "", "\xBB\xBF", "", "data: a\r", "", "\n", "", "\r\n", ""} {
		if err := p.Feed([]byte(chunk), func(e sse.Event) error { got = append(got, eventOf(e)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]event{data("a")}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An event is complete with the CR of its blank line: waiting for a LF that may
// follow would hold it back until the next event.
func TestEventLeavesAtCR(t *testing.T) {
	t.Parallel()
	var p sse.Parser
	n := 0
	count := func(sse.Event) error { n++; return nil }
	if err := p.Feed([]byte("data: a\r\n\r"), count); err != nil || n != 1 {
		t.Fatalf("%d events, %v, want 1", n, err)
	}
	if err := p.Feed([]byte("\ndata: b\n\n"), count); err != nil || n != 2 {
		t.Fatalf("%d events, %v, want 2", n, err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, stream string
		ok           bool
	}{
		{"DataAtLimit", "data: 0123456789\n\n", true},
		{"DataOverLimit", "data: 0123456789a\n\n", false},
		{"OverLimitBeforeLineEnds", "data: 0123456789a", false},
		{"LinesOverLimit", "data: 01234\ndata: 56789\n\n", false}, // the LF between counts
		{"EmptyLinesOverLimit", strings.Repeat("data\n", 20) + "data: 0\n", false},
		{"OnlyEmptyLinesOverLimit", strings.Repeat("data\n", 20), false},
		{"FieldsAddUp", "event: 012\nid: 345\ndata: 67890\n\n", false},
		{"EventsDoNotAddUp", strings.Repeat("id: 1\ndata: 01234567\n\n", 5), true},
		{"CommentsDoNotAddUp", "data: 01234\n" + strings.Repeat(": 01234567\n", 5) + "data: 678\n\n", true},
		{"CommentOverLimit", ": 0123456789\n", false},
		{"ReplacedFieldsDoNotAddUp", strings.Repeat("id: 1234\n", 5) + "data: 0\n\n", true},
		{"UnknownFieldIsNotKept", "x: " + strings.Repeat("y", 100) + "\ndata: 0\n\n", true},
		{"UnknownNameIsNotKept", strings.Repeat("y", 100) + "\ndata: 0\n\n", true},
	} {
		for _, size := range []int{1, 3, len(tt.stream)} {
			_, err := parse(10, []byte(tt.stream), size)
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, sse.ErrTooLarge) {
				t.Errorf("%s in chunks of %d: %v, want ok %v", tt.name, size, err, tt.ok)
			}
		}
	}
}

func TestErrorOfCallbackIsFinal(t *testing.T) {
	t.Parallel()
	var p sse.Parser
	failed := errors.New("client gone")
	calls := 0
	f := func(sse.Event) error { calls++; return failed }
	for range 2 {
		if err := p.Feed([]byte("data: a\n\ndata: b\n\n"), f); err != failed {
			t.Errorf("Feed = %v, want the error of the callback", err)
		}
	}
	if calls != 1 {
		t.Errorf("callback ran %d times, want 1", calls)
	}
}

func TestAppendEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event sse.Event
		want  string
	}{
		{sse.Event{HasData: true, Data: []byte(`{"a":1}`)}, "data: {\"a\":1}\n\n"},
		{sse.Event{Name: []byte("message"), HasID: true, ID: []byte("7"), Retry: []byte("10"), HasData: true}, "event: message\nid: 7\nretry: 10\ndata: \n\n"},
		{sse.Event{HasData: true, Data: []byte("a\nb\r\nc\rd\n")}, "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{sse.Event{HasData: true, Data: []byte("a\n\r\r\nb")}, "data: a\ndata: \ndata: \ndata: b\n\n"},
		{sse.Event{HasData: true, Data: []byte(" a")}, "data:  a\n\n"},
		{sse.Event{HasID: true}, "id: \n\n"},
		{sse.Event{HasID: true, ID: []byte("1\ndata: forged\x00")}, "id: 1data: forged\n\n"},
		{sse.Event{Name: []byte("a\r\nid: 1"), HasData: true}, "event: aid: 1\ndata: \n\n"},
		{sse.Event{HasComment: true, Comment: []byte(" keep-alive")}, ": keep-alive\n\n"},
		{sse.Event{HasComment: true, Comment: []byte("a\ndata: b")}, ":a\n:data: b\n\n"},
		{sse.Event{Data: []byte("ignored")}, "\n"},
	} {
		if got := sse.AppendEvent([]byte("x"), tt.event); string(got) != "x"+tt.want {
			t.Errorf("AppendEvent(%+v) = %q, want %q", eventOf(tt.event), got, "x"+tt.want)
		}
	}
}

// Writing what was parsed gives a stream with the same events.
func TestForwarding(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		var p sse.Parser
		var out []byte
		if err := p.Feed([]byte(tt.stream), func(e sse.Event) error { out = sse.AppendEvent(out, e); return nil }); err != nil {
			t.Fatal(err)
		}
		got, err := parse(0, out, 1)
		if err != nil || cmp.Diff(tt.want, got) != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, cmp.Diff(tt.want, got))
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var p sse.Parser
	stream := []byte("event: message\nid: 12\nretry: 5\ndata: " + strings.Repeat("x", 4096) + "\ndata: y\n\n: keep-alive\n\n")
	var out []byte
	f := func(e sse.Event) error { out = sse.AppendEvent(out[:0], e); return nil }
	if n := testing.AllocsPerRun(100, func() {
		for rest := stream; len(rest) > 0; {
			size := min(100, len(rest))
			if err := p.Feed(rest[:size], f); err != nil {
				t.Fatal(err)
			}
			rest = rest[size:]
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzParser splits the same bytes in three ways and expects the same events.
func FuzzParser(f *testing.F) {
	for _, tt := range streams {
		f.Add([]byte(tt.stream), uint8(2), uint8(5), uint16(0))
	}
	f.Add([]byte("data: 0123\ndata: 4\n\n"), uint8(1), uint8(3), uint16(5))
	f.Fuzz(func(t *testing.T, stream []byte, first, size uint8, limit uint16) {
		want, wantErr := parse(int(limit), stream, len(stream))
		got, gotErr := parse(int(limit), stream, int(first), int(size))
		if gotErr != wantErr || cmp.Diff(want, got) != "" {
			t.Fatalf("chunks of %d, %d: %v, %v (-want +got):\n%s", first, size, wantErr, gotErr, cmp.Diff(want, got))
		}
		if limit > 0 {
			return
		}
		if plain := reference(stream); cmp.Diff(plain, got) != "" {
			t.Fatalf("reference differs (-want +got):\n%s", cmp.Diff(plain, got))
		}
		var out []byte
		for _, e := range want {
			out = sse.AppendEvent(out, sse.Event{
				Name: []byte(e.Name), Data: []byte(e.Data), ID: []byte(e.ID), Retry: []byte(e.Retry), Comment: []byte(e.Comment),
				HasData: e.HasData, HasID: e.HasID, HasComment: e.HasComment,
			})
		}
		if again, err := parse(0, out, 3); err != nil || cmp.Diff(want, again) != "" {
			t.Fatalf("written again: %v (-want +got):\n%s", err, cmp.Diff(want, again))
		}
	})
}

// reference parses a whole stream, line by line as the standard words it.
func reference(stream []byte) []event {
	text := strings.TrimPrefix(string(stream), "\xEF\xBB\xBF")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var events []event
	var e event
	var data []string
	for _, line := range lines[:len(lines)-1] {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(line, ":") {
			events = append(events, comment(value))
			continue
		}
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			e.HasData, e.Data = data != nil, strings.Join(data, "\n")
			if e != (event{}) {
				events = append(events, e)
			}
			e, data = event{}, nil
		case name == "data":
			data = append(data, value)
		case name == "event":
			e.Name = value
		case name == "id" && !strings.Contains(value, "\x00"):
			e.ID, e.HasID = value, true
		case name == "retry" && value != "" && strings.Trim(value, "0123456789") == "":
			e.Retry = value
		}
	}
	return events
}

func BenchmarkParser(b *testing.B) {
	small := []byte(strings.Repeat("event: message\ndata: "+strings.Repeat("x", 470)+"\n\n", 1000))
	large := []byte("data: " + strings.Repeat("x", 5<<20) + "\n\n")
	lines := []byte(strings.Repeat("data: "+strings.Repeat("x", 58)+"\r\n", 5<<20/66) + "\r\n")
	returns := []byte(strings.Repeat("\r", 1<<20))
	for _, bb := range []struct {
		name   string
		stream []byte
	}{{"events=1000x500B", small}, {"event=5MB", large}, {"event=5MBInLines", lines}, {"returns=1MB", returns}} {
		b.Run(fmt.Sprintf("%s/chunk=16KB", bb.name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.stream)))
			var p sse.Parser
			for b.Loop() {
				for rest := bb.stream; len(rest) > 0; {
					n := min(16<<10, len(rest))
					if err := p.Feed(rest[:n], func(sse.Event) error { return nil }); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
			}
		})
	}
}

// WriteMessage writes what AppendEvent returns.
func TestWriteMessage(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "{}", "{\n}", "\n", "\r", "\r\n", "\n\r", "\r\r\n\n", "a\r\nb\rc\nd", "a\r", "a\n", "a\r\n", "\r\na\n\n\rb\r\r"} {
		var got bytes.Buffer
		err := sse.WriteMessage(&got, []byte(data))
		want := sse.AppendEvent(nil, sse.Event{Name: []byte("message"), Data: []byte(data), HasData: true})
		if err != nil || got.String() != string(want) {
			t.Errorf("%q: %q, want %q (%v)", data, got.String(), want, err)
		}
	}
}
