package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mcp-gateway/broker/session"
)

// sent sends until somebody listens: what that is takes a while to begin.
func sent(t *testing.T, st session.Store, mailbox string, message []byte, to ...<-chan []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, ch := range to {
		for got := false; !got; {
			if _, err := st.Send(ctx, mailbox, message); err != nil {
				t.Fatal(err)
			}
			select {
			case m, ok := <-ch:
				if !ok || !bytes.Equal(m, message) {
					t.Fatalf("mailbox %q: got %q, %v, want %q", mailbox, m, ok, message)
				}
				got = true
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// drained returns the next message behind the repetitions of one by sent.
func drained(t *testing.T, ch <-chan []byte, repeated []byte) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case m := <-ch:
			if !bytes.Equal(m, repeated) {
				return string(m)
			}
		case <-late:
			t.Fatalf("nothing but %q arrives", repeated)
		}
	}
}

func mailReachesWhoListens(t *testing.T, f Fixture) {
	one, other := f.Open(t), f.Open(t)
	mine, all, othersAll := one.Mail(t.Context(), "one"), one.Mail(t.Context(), ""), other.Mail(t.Context(), "")
	message := []byte("a\x00\xff\n{}")
	sent(t, other, "one", message, mine)
	sent(t, one, "", message, all, othersAll)

	// Each message once, in order, to its mailbox only.
	for i := range 20 {
		delivered(t)(other.Send(t.Context(), "one", fmt.Append(nil, i)))
	}
	for i := range 20 {
		if got := drained(t, mine, message); got != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", got, i)
		}
	}
	delivered(t)(other.Send(t.Context(), "", []byte("end")))
	for _, ch := range []<-chan []byte{all, othersAll} {
		if got := drained(t, ch, message); got != "end" {
			t.Errorf("message of another mailbox: %q", got)
		}
	}
}

func delivered(t *testing.T) func(bool, error) {
	return func(delivered bool, err error) {
		t.Helper()
		if err != nil || !delivered {
			t.Errorf("Send: %v, %v, want true", delivered, err)
		}
	}
}

func mailToNobody(t *testing.T, f Fixture) {
	st := f.Open(t)
	delivered, err := st.Send(t.Context(), "nobody", []byte("x"))
	must(t, err)
	if delivered != f.SendsBlindly {
		t.Errorf("delivered: %v, want %v", delivered, f.SendsBlindly)
	}
}

func mailIsBounded(t *testing.T, f Fixture) {
	st := f.Open(t)
	ch := st.Mail(t.Context(), "m")
	if _, err := st.Send(t.Context(), "m", make([]byte, session.LargestMessage+1)); !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("got error %v, want ErrTooLarge", err)
	}
	sent(t, st, "m", bytes.Repeat([]byte("x"), session.LargestMessage), ch)
}

func mailEnds(t *testing.T, f Fixture) {
	st := f.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch := st.Mail(ctx, "m")
	sent(t, st, "m", []byte("x"), ch)
	cancel()
	late := time.After(patience)
	for open := true; open; {
		select {
		case _, open = <-ch:
		case <-late:
			t.Fatal("the channel is not closed")
		}
	}
}
