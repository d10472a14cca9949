package bridge_test

import (
	"strconv"
	"strings"
	"testing"
)

// Who waits for an answer that cannot be read is told so, and nobody else.
func TestBrokenAnswerEndsItsCall(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		number := 2
		for _, broken := range []string{
			`{"jsonrpc":"2.0","id":ID,"result":{"text":"cut \ud83d"}}`, `{"result":{"text":"\ud83d","id":7},"id":ID}`,
			`{"id":ID,"result":` + strings.Repeat("[", 130) + strings.Repeat("]", 130) + `}`,
		} {
			done, other := s.later("POST", id, request("6", "x", `{}`)), s.later("POST", id, request("7", "x", `{}`))
			c.take()
			c.take()
			at := strconv.Itoa(number)
			c.say(`{"id":`+at+`,"method":"x","params":"\ud83d"}`, strings.Replace(broken, "ID", at, 1))
			if got := (<-done).body; !strings.Contains(got, `"id":6,"error":{"code":-32603`) {
				t.Errorf("%s: %s", broken, got)
			}
			c.say(result(strconv.Itoa(number+1), "{}"))
			want(t, "the other", (<-other).body, result("7", "{}"))
			number += 2
		}
	})
}

// Progress is told by strings and numbers only: who sends something else has asked for
// none.
func TestNoProgressWithoutAToken(t *testing.T) {
	run(t, nil, func(t *testing.T, s *server) {
		id := s.open(0)
		c := s.conn(0)
		number := 2
		for _, token := range []string{"null", "{}", "[]", "true"} {
			at := strconv.Itoa(number)
			done := s.later("POST", id, request("5", "x", `{"_meta":{"progressToken":`+token+`}}`))
			want(t, "sent", c.take(), request(at, "x", `{"_meta":{"progressToken":`+token+`}}`))
			c.say(notification("notifications/progress", `{"progressToken":`+at+`,"progress":1}`), result(at, "{}"))
			want(t, "answer", (<-done).body, result("5", "{}"))
			number++
		}
	})
}
