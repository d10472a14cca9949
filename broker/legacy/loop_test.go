package legacy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every request has one answer, whatever the endpoint makes of it.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	const lost = `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the answer was lost on its way"}}`
	const json, events = "application/json", "text/event-stream"
	for name, test := range map[string]struct {
		status     int
		kind, body string
		want       string
	}{
		"error with an id":     {400, json, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32600,"message":"m"}}`, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32600,"message":"m"}}`},
		"error without an id":  {403, json, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m"}}`, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32600,"message":"m"}}`},
		"text":                 {503, "text/plain", "no healthy upstream at 10.0.0.1", `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 503"}}`},
		"redirect":             {307, "", "", `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 307"}}`},
		"nothing":              {200, json, " \n", `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 200"}}`},
		"accepted":             {202, "", "", `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 202"}}`},
		"stream without":       {200, events, "data:\n\n: x\n\nevent: other\ndata: {}\n\n", lost},
		"stream cut":           {200, events, "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", lost},
		"JSON of a loose mind": {200, json, `{"id":"a","result":{},"result":{}, "jsonrpc":"2.0"}`, `{"id":"a","result":{},"result":{}, "jsonrpc":"2.0"}`},
		"event of such":        {200, events, "data: {\"id\":\"a\",\"result\":{},\"result\":1}\n\n", `{"id":"a","result":{},"result":1}`},
		"without any id":       {200, events, "data: {\"result\":{},\"result\":1}\n\n", lost},
		"answer to another": {200, events, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\ndata: " + `{"id":"b","result":{},"result":{}}` +
			"\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":2}\n\n", `{"jsonrpc":"2.0","id":"a","result":{}}`},
		"JSON to another":    {200, json, pong("7"), `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 200"}}`},
		"error to another":   {400, json, `{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"m"}}`, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603,"message":"the gateway answered with HTTP status 400"}}`},
		"error without, 200": {200, json, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}`, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32700,"message":"m"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method != "odd" {
						return false
					}
					if test.kind != "" {
						w.Header().Set("Content-Type", test.kind)
					}
					w.Header().Set("Location", "http://elsewhere/")
					w.WriteHeader(test.status)
					_, _ = io.WriteString(w, test.body)
					return true
				}
				s := newGateway(t, end).open()
				s.initialize()
				s.tell(`{"jsonrpc":"2.0","id":"\u0061","method":"odd"}`)
				if diff := cmp.Diff(test.want, s.message()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				s.tell(ping("1")) // and no second one
				if got := s.message(); got != pong("1") {
					t.Errorf("then: %s", got)
				}
			})
		})
	}
}

func TestEndpointThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, endpoint())
		s := g.open()
		g.down()
		s.tell(initializeAt("2024-11-05"))
		if got := s.message(); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32603`) || strings.Contains(got, "inside") {
			t.Errorf("answer %s", got)
		}
	})
}

// A server may end a stream before its answer and be asked for the rest, as
// revision 2025-11-25 allows.
func TestStreamIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		var asked []string
		stream := func(w http.ResponseWriter, text string) bool {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, text)
			return true
		}
		end.Intercept = func(w http.ResponseWriter, r *http.Request, method, _ string) bool {
			last := r.Header.Get("Last-Event-ID")
			if last != "" {
				asked = append(asked, last)
			}
			switch {
			case method == "slow":
				return stream(w, "id: a~1\nretry: 5000\ndata:\n\n")
			case last == "a~1":
				return stream(w, "id: a~2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n")
			case last == "a~2":
				return stream(w, "id: a~3\ndata: "+pong("1")+"\n\n")
			case method == "never":
				return stream(w, "id: b\ndata:\n\n")
			case last == "b":
				return stream(w, ": nothing\n\n")
			}
			return false
		}
		s := newGateway(t, end).open()
		s.initialize()
		begun := time.Now()
		s.tell(`{"jsonrpc":"2.0","id":1,"method":"slow"}`)
		got := []string{s.message(), s.message()}
		synctest.Wait()
		if diff := cmp.Diff([]string{`{"jsonrpc":"2.0","method":"notifications/message"}`, pong("1")}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"a~1", "a~2"}, asked); diff != "" || time.Since(begun) != 10*time.Second {
			t.Errorf("asked after %v (-want +got):\n%s", time.Since(begun), diff)
		}
		asked = nil
		s.tell(`{"jsonrpc":"2.0","id":2,"method":"never"}`)
		answer := s.message()
		synctest.Wait()
		if !strings.Contains(answer, "lost") || len(asked) != maxResumes {
			t.Errorf("after %d attempts: %s", len(asked), answer)
		}
	})
}

// A server that wants to be asked again at once is left alone for a while: longer
// each time, unless it has something to say.
func TestStreamIsNotTakenUpAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		text, asked := "", 0
		end.Intercept = func(w http.ResponseWriter, r *http.Request, method, _ string) bool {
			if r.Header.Get("Last-Event-ID") == "" && method != "restless" {
				return false
			}
			asked++
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: a\nretry: 1\n"+text+"\n")
			return true
		}
		g := newGateway(t, end)
		begun := time.Now()
		g.send(batchOf(method("restless", "1")))
		if took := time.Since(begun); took < 3*time.Second || asked != 1+maxResumes {
			t.Errorf("%d times within %v for nothing", asked, took)
		}
		text, asked = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n", 0
		s := g.open()
		s.initialize()
		go func() {
			for range s.lines {
			}
		}()
		s.tell(method("restless", "2"))
		time.Sleep(time.Minute)
		s.leave()
		synctest.Wait()
		if asked < 100 || asked > 601 {
			t.Errorf("%d times within a minute for a message each", asked)
		}
	})
}

// The session's own stream comes back, where it was.
func TestListeningGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		var asked []string
		end.Stream = func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("Last-Event-ID"))
			switch len(asked) {
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "id: ~a~7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n")
			case 3:
				w.WriteHeader(http.StatusConflict)
			case 4:
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n")
			default:
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		}
		s := newGateway(t, end).open()
		s.initialize()
		s.message()
		s.message()
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"", "", "~a~7", "~a~7", "~a~7"}, asked); diff != "" {
			t.Errorf("streams (-want +got):\n%s", diff)
		}
	})
}
