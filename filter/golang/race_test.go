package golang

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
)

// waiting has the broker answer nothing until it is let go.
func waiting(b *fakeBroker) (asked chan string, letGo func()) {
	asked, wait := make(chan string, 10), make(chan struct{})
	b.before = func(path string) { asked <- path; <-wait }
	return asked, sync.OnceFunc(func() { close(wait) })
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal(what + ": not within 10 s")
		}
		runtime.Gosched()
	}
}

func TestClientGoesDuringAQuestion(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	asked, letGo := waiting(b)
	defer letGo()
	e := newEnvoy(t, p, c)
	postTo(e)
	e.request.body(toolCall("a_tool"), true)
	<-asked
	e.destroy() // from here on the test fails at any call
	letGo()
	if n := p.streams.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	if len(e.posts) > 0 {
		t.Error("something was posted to a stream that is gone")
	}
}

// Envoy's own answer, as after a timeout, ends the wait. What the broker says later
// is not looked at.
func TestEnvoyAnswersDuringAQuestion(t *testing.T) {
	both(t, func(t *testing.T, early bool) {
		b := newFakeBroker(t)
		p, c, _ := newPlugin(t, b, "")
		asked, letGo := waiting(b)
		defer letGo()
		e := newEnvoy(t, p, c)
		e.early = early
		postTo(e)
		e.request.body(toolCall("a_tool"), true)
		<-asked
		e.answerHeaders(false, ":status", "504", "content-type", "text/plain")
		letGo()
		e.until("reply", func() bool { return e.reply != nil })
		if e.reply.status != 200 || !strings.Contains(e.reply.body, `"id":1,"error":{"code":-32603`) || e.reply.details != "given_up" {
			t.Errorf("%+v", e.reply)
		}
		if e.request.ended {
			t.Error("the request has gone on as well")
		}
	})
}

// A request that Envoy answers before its end does not come to the core again.
func TestEnvoyAnswersBeforeTheEnd(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	e := newEnvoy(t, p, c)
	postTo(e)
	e.request.body("{", false)
	e.answerHeaders(false, ":status", "408", "content-type", "text/plain")
	e.response.body("timeout", true)
	e.request.body("}", true)
	e.destroy()
	if string(e.response.out) != "timeout" || e.reply != nil || len(e.request.out) > 0 {
		t.Errorf("%s %+v %s", e.response.out, e.reply, e.request.out)
	}
}

func TestBrokerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, stats := newPlugin(t, b, "")
	b.Close()
	e := newEnvoy(t, p, c)
	postTo(e)
	e.request.body(toolCall("a_tool"), true)
	e.until("reply", func() bool { return e.reply != nil })
	if e.reply.status != 200 || e.reply.details != "broker_down" || strings.Contains(e.reply.body, "127.0.0.1") {
		t.Errorf("%+v", e.reply)
	}
	if n := stats.get("mcp_gateway_errors.reason.broker_down.server.-"); n != 1 {
		t.Errorf("counted %d times: %v", n, stats.values)
	}
}

// Clients that come and go while questions are under way, on many workers: nothing
// is called that is gone, and nothing is left.
func TestStreamsThatAreDestroyedAtAnyTime(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range 200 {
				e := newEnvoy(t, p, c)
				postTo(e)
				e.request.body(toolCall("a_tool"), true)
				for range i % 5 {
					runtime.Gosched()
					select {
					case post := <-e.posts:
						post()
					default:
					}
				}
				e.destroy()
			}
		})
	}
	workers.Wait()
	if n := p.streams.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// The contrib library holds a stream by the request; nothing of ours holds it
// longer, not even a question that is still under way.
func TestNothingHoldsADestroyedStream(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, _ := newPlugin(t, b, "")
	dead := func(ask bool) weak.Pointer[Stream] {
		e := newEnvoy(t, p, c)
		if ask {
			postTo(e)
			e.request.body(toolCall("a_tool"), true)
		}
		e.destroy()
		return weak.Make(e.stream.(*Stream))
	}
	for name, ask := range map[string]bool{"Unused": false, "Asking": true} {
		stream := dead(ask)
		eventually(t, name+": the stream is collected", func() bool {
			runtime.GC()
			return stream.Value() == nil
		})
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	both(t, func(t *testing.T, early bool) {
		b := newFakeBroker(t)
		p, c, stats := newPlugin(t, b, "")
		bad := "a client's text"
		for phase, do := range map[string]struct {
			id string
			do func(e *envoy)
		}{
			"request": {"null", func(e *envoy) {
				e.request.begin(nil)
				e.request.headersDone(e.stream.DecodeHeaders(requestFault{with: bad}, false), false)
			}},
			"request_body": {"null", func(e *envoy) {
				postTo(e)
				e.request.phase = inBody
				e.request.bodyDone(e.stream.DecodeData(bodyFault{with: bad}, true))
			}},
			"response": {"1", func(e *envoy) {
				warm(e)
				e.response.begin(nil)
				e.response.headersDone(e.stream.EncodeHeaders(responseFault{with: bad}, false), false)
			}},
			"response_body": {"1", func(e *envoy) {
				warm(e)
				e.answerHeaders(false, ":status", "200", "content-type", "application/json")
				e.response.phase = inBody
				e.response.bodyDone(e.stream.EncodeData(bodyFault{with: bad}, true))
			}},
		} {
			e := newEnvoy(t, p, c)
			e.early = early
			do.do(e)
			e.until(phase, func() bool { return e.reply != nil })
			if !strings.Contains(e.reply.body, `"id":`+do.id+`,"error":{"code":-32603,"message":"internal error"}`) {
				t.Errorf("%s: %+v", phase, e.reply)
			}
			if n := stats.get("mcp_gateway_panics.phase." + phase); n != 1 {
				t.Errorf("%s: counted %d times", phase, n)
			}
		}
		if n := p.streams.Load(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		if text := logged.String(); strings.Contains(text, "a client's text") || !strings.Contains(text, "recovered a panic in phase request: string") {
			t.Errorf("log: %s", text)
		}
	})
}

// Headers and buffers that panic, as those of the contrib library do.
type (
	requestFault struct {
		api.RequestHeaderMap
		with any
	}
	responseFault struct {
		api.ResponseHeaderMap
		with any
	}
	bodyFault struct {
		api.BufferInstance
		with any
	}
)

func (f requestFault) Range(func(name, value string) bool) { panic(f.with) }
func (f responseFault) GetRaw(string) string               { panic(f.with) }
func (f bodyFault) Len() int                               { panic(f.with) }

func warm(e *envoy) {
	postTo(e)
	e.request.body(toolCall("a_tool"), true)
	e.until("the call has gone on", func() bool { return e.request.ended })
}

// Envoy is done with a stream that a callback still works on: that is no fault.
func TestEnvoyIsDoneWithTheStream(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, c, stats := newPlugin(t, b, "")
	for _, text := range []string{requestFinished, filterDestroyed} {
		e := newEnvoy(t, p, c)
		e.request.begin(nil)
		e.request.headersDone(e.stream.DecodeHeaders(requestFault{with: text}, false), false)
		e.destroy()
		if n := stats.get("mcp_gateway_panics.phase.request"); n != 0 || e.reply != nil {
			t.Errorf("%s: counted %d times, %+v", text, n, e.reply)
		}
	}
}
