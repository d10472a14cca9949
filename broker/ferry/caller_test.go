package ferry

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// What waits for a slow reader is bounded by its bytes, too; who can wait does, and
// nothing of that is lost.
func TestSlowReaderHoldsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size, messages = 1 << 20, 20
		k := newCaller(Request{})
		put := 0
		go func() {
			for i := range messages {
				k.say(bytes.Repeat([]byte{byte('a' + i)}, size), true)
				put++
			}
			k.end(Message{Last: true})
		}()
		synctest.Wait()
		if put != mostWaitingBytes/size {
			t.Errorf("%d messages wait, want %d", put, mostWaitingBytes/size)
		}
		k.say([]byte("z"), false) // gets lost
		for i := range messages {
			m := <-k.Out()
			synctest.Wait()
			if want := min(i+mostWaitingBytes/size, messages); put != want {
				t.Errorf("%d messages were taken in while one is written, want %d", put, want)
			}
			k.Done(m)
			if len(m.Bytes) != size || m.Bytes[0] != byte('a'+i) {
				t.Fatalf("message %d has %d bytes", i, len(m.Bytes))
			}
			synctest.Wait()
		}
		if m := <-k.Out(); !m.Last {
			t.Error("no end")
		}
		go k.say(make([]byte, mostWaitingBytes), true)
		synctest.Wait()
		go k.end(Message{}) // has no room, and must not wait for ever
		synctest.Wait()
		k.Leave()
	})
}

// While nobody reads, the last notifications are kept, as far as there is room.
func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	var x crossing
	for i := range 2 * mostBacklog {
		x.keep([]byte{byte(i)})
	}
	if len(x.backlog) != mostBacklog || x.backlog[0][0] != mostBacklog {
		t.Errorf("%d are kept, from %d on", len(x.backlog), x.backlog[0][0])
	}
	x.keep(make([]byte, mostBacklogBytes-1))
	if len(x.backlog) != 2 {
		t.Errorf("%d are kept beside a large one", len(x.backlog))
	}
	x.keep(make([]byte, mostBacklogBytes+1))
	if len(x.backlog) != 0 {
		t.Errorf("%d are kept beside one that is too large", len(x.backlog))
	}
}
