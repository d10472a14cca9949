package dynamicmodule

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/filter"
	"mcp-gateway/filter/dynamicmodule/moduletest"
)

func TestStaleNumbersFindNothing(t *testing.T) {
	t.Parallel()
	var s Streams
	c := newConfig(t, "")
	st, first := s.Acquire(c)
	if first == 0 || s.Get(first) != st {
		t.Fatalf("number %d finds %p, want %p", first, s.Get(first), st)
	}
	s.Release(st)
	if s.Get(first) != nil {
		t.Error("a released stream is found")
	}
	again, second := s.Acquire(c)
	if again != st {
		t.Error("a released stream is not used again")
	}
	if second == first || s.Get(first) != nil || s.Get(second) != again {
		t.Error("an old number finds the new use")
	}
	if s.Get(0) != nil || s.Get(^uint64(0)) != nil {
		t.Error("a number that was never given finds a stream")
	}
}

func TestSpoiledStreamIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	var s Streams
	c := newConfig(t, "")
	st, number := s.Acquire(c)
	st.Spoil()
	s.Release(st)
	if s.Get(number) != nil || s.Live() != 0 {
		t.Error("a spoiled stream lives on")
	}
	next, _ := s.Acquire(c)
	if next == st {
		t.Error("a spoiled stream is used again")
	}
	if s.next != 1 {
		t.Errorf("%d slots for one stream at a time", s.next)
	}
}

// What a burst needed is not kept.
func TestSpareStreamsAreBounded(t *testing.T) {
	t.Parallel()
	var s Streams
	c := newConfig(t, "")
	all := make([]*Stream, 4*maxSpare)
	for i := range all {
		all[i], _ = s.Acquire(c)
	}
	if got := s.Live(); got != len(all) {
		t.Errorf("%d streams are live, want %d", got, len(all))
	}
	for _, st := range all {
		s.Release(st)
	}
	if len(s.spare) != maxSpare || s.Live() != 0 {
		t.Errorf("%d streams are spare, %d live; want %d and 0", len(s.spare), s.Live(), maxSpare)
	}
	for range all {
		s.Acquire(c)
	}
	if int(s.next) != len(all) {
		t.Errorf("%d slots, want %d", s.next, len(all))
	}
}

// A replaced configuration, with its session cache, is not held by streams that
// wait for their next use.
func TestReleasedStreamsHoldNoConfiguration(t *testing.T) {
	t.Parallel()
	var s Streams
	gone := make(chan bool)
	func() {
		c := newConfig(t, "")
		runtime.AddCleanup(c.Gateway, func(gone chan bool) { close(gone) }, gone)
		st, _ := s.Acquire(c)
		d := st.RequestHeaders(headers(), false, 1)
		if d.Action != filter.NeedBody {
			t.Fatalf("%+v", d)
		}
		st.RequestBody([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool"}}`), 1)
		s.Release(st)
	}()
	for {
		runtime.GC()
		select {
		case <-gone:
			runtime.KeepAlive(&s)
			return
		case <-t.Context().Done():
			t.Fatal("the configuration is still held")
		default:
		}
	}
}

func headers() []filter.Header {
	return []filter.Header{
		{Name: ":method", Value: "POST"},
		{Name: ":path", Value: "/mcp"},
		{Name: ":authority", Value: "localhost"},
		{Name: "content-type", Value: "application/json"},
		{Name: "accept", Value: "application/json, text/event-stream"},
		{Name: "mcp-session-id", Value: "s1"},
	}
}

const static = moduletest.Static

var table = moduletest.Table()

// 100,000 streams of many workers, ended in every phase, share a gateway. The race
// detector looks on in make race.
func TestManyStreamsEndedAnywhere(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 12500
	var s Streams
	c, err := NewConfig([]byte(static), "")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			open := make([]*Stream, 0, 32)
			out := make([]byte, 0, 4096)
			for i := range each {
				st, number := s.Acquire(c)
				if s.Get(number) != st {
					t.Errorf("stream %d is not found under its number", number)
				}
				if err := converse(st, &out, w, i); err != nil {
					t.Error(err)
				}
				// Some stay open for a while, beside others.
				if open = append(open, st); len(open) == cap(open) || i%7 == 0 {
					for _, st := range open {
						s.Release(st)
					}
					open = open[:0]
				}
			}
			for _, st := range open {
				s.Release(st)
			}
		})
	}
	wg.Wait()
	if got := s.Live(); got != 0 {
		t.Errorf("%d streams are live after the last", got)
	}
	if limit := uint32(workers * 32); s.next > limit {
		t.Errorf("%d slots for at most %d streams at a time", s.next, limit)
	}
	if got := c.CachedSessions(); got > 64 {
		t.Errorf("%d sessions cached of 64", got)
	}
}

// converse leads a stream as far as i says.
func converse(st *Stream, out *[]byte, worker, i int) error {
	server := [2]string{"a", "b"}[i%2]
	body := []byte(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s_tool","arguments":{}}}`, i, server))
	list := headers()
	list[5].Value = fmt.Sprintf("session-%d", (worker+i)%64)
	now := int64(i) * 1000
	st.RequestHeaders(list, false, now)
	step := i % 9
	if step == 0 {
		return nil // reset before the body
	}
	d := st.RequestBody(body, now)
	for d.Action == filter.Ask {
		encode(st, out, d)
		switch {
		case step == 1:
			return nil // reset while the broker is asked
		case d.Question.Method == "GET":
			d = st.Answer(200, table, now)
		case step == 2:
			d = st.Answer(0, nil, now)
		default:
			d = st.Answer(200, []byte(`{"session":"b-`+server+`","version":"2025-11-25","ttlMs":20}`), now)
		}
	}
	encode(st, out, d)
	if d.Action == filter.Reply {
		if step != 2 {
			return fmt.Errorf("step %d: %s", step, d.Body)
		}
		return nil
	}
	answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"resource_link","uri":"test://x"}]}}`, i)
	switch step {
	case 3: // reset before the answer
	case 4: // in a held-back answer
		encode(st, out, st.ResponseHeaders([]filter.Header{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/json"}}, false))
	case 5, 6: // in the middle of an event, and after it
		st.ResponseHeaders([]filter.Header{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/event-stream"}}, false)
		encode(st, out, st.ResponseBody([]byte("data: "+answer[:20]), false))
		if step == 6 {
			d = st.ResponseBody([]byte(answer[20:]+"\n\n"), true)
			if !strings.Contains(string(d.Body), server+"+test://x") {
				return fmt.Errorf("event: %s", d.Body)
			}
		}
	case 7: // the server has lost the session, and the client does not wait
		encode(st, out, st.ResponseHeaders([]filter.Header{{Name: ":status", Value: "404"}}, true))
	case 8:
		encode(st, out, st.Panicked())
		st.Spoil()
	default:
		st.ResponseHeaders([]filter.Header{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/json"}}, false)
		d = st.ResponseBody([]byte(answer), true)
		if !strings.Contains(string(d.Body), server+"+test://x") {
			return fmt.Errorf("answer: %s", d.Body)
		}
	}
	return nil
}

func encode(st *Stream, out *[]byte, d *filter.Decision) {
	*out, _ = st.Config.Encode((*out)[:0], d)
}
