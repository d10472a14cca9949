package golanghost

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// Each row is one behaviour of contrib's filter, as a client and a server see it.
func TestHostDoesAsContrib(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		name, path, do string
		chunks         []string
		trailers       bool
		status         int
		header         string   // "Name: value" of the answer
		want           []string // in the answer's body
	}{
		{name: "passes", status: 200, want: []string{"GET /\nx-config: of the filter\nx-end: true\nx-unwanted: 1\nbody: \n"}},
		{name: "passes a body", chunks: []string{"a", "b"}, status: 200, want: []string{"POST /\n", "x-end: false\n", "body: ab\n"}},
		{name: "shows the phases in order", chunks: []string{"ab"}, trailers: true, status: 200, do: "headers=buffer",
			header: "X-Seen: headers data(2,false) trailers", want: []string{"body: ab\n", "trailer x-ended: yes\n"}},
		{name: "a route's configuration is merged", path: "/route", status: 200, want: []string{"x-config: of the filter+of the route\n"}},

		{name: "headers in a goroutine", do: "headers=async", status: 200, want: []string{"GET /\n"}},
		{name: "headers in a goroutine, body behind", do: "headers=slow", chunks: []string{"a", "b"}, status: 200, want: []string{"body: ab\n"}},
		{name: "headers set in a goroutine", do: "headers=async-set:v", status: 200, want: []string{"x-set: v\nbody"}},
		{name: "headers set", do: "headers=set:v", status: 200, want: []string{"x-set: v\n"}},
		{name: "whole body at once", do: "headers=buffer", chunks: []string{"a", "b", "c"}, status: 200,
			header: "X-Seen: headers data(3,true)", want: []string{"body: abc\n"}},
		{name: "whole body, decided in a goroutine", do: "headers=async-buffer", chunks: []string{"a", "b", "c"}, status: 200,
			header: "X-Seen: headers data(3,true)", want: []string{"body: abc\n"}},
		{name: "whole body, read in a goroutine", do: "headers=buffer,data=async", chunks: []string{"a", "b"}, status: 200, want: []string{"body: ab\n"}},
		{name: "body replaced", do: "headers=buffer,data=set:new", chunks: []string{"old"}, status: 200, want: []string{"body: new\n"}},
		{name: "body replaced in a goroutine", do: "headers=buffer,data=async-set:longer than before", chunks: []string{"old"}, status: 200,
			want: []string{"body: longer than before\n"}},
		{name: "body read and changed", do: "headers=buffer,data=upper", chunks: []string{"old"}, status: 200, want: []string{"body: OLD\n"}},
		{name: "body appended to", do: "headers=buffer,data=append:!", chunks: []string{"a"}, status: 200, want: []string{"body: a!\n"}},
		{name: "body prepended to", do: "headers=buffer,data=prepend:!", chunks: []string{"a"}, status: 200, want: []string{"body: !a\n"}},
		{name: "body drained", do: "headers=buffer,data=drain:1", chunks: []string{"abc"}, status: 200, want: []string{"body: bc\n"}},
		{name: "body dropped", do: "data=drop", chunks: []string{"abc"}, status: 200, want: []string{"body: \n"}},
		{name: "body held piece by piece", do: "headers=watermark,data=watermark", chunks: []string{"abc"}, status: 200, want: []string{"body: abc\n"}},
		{name: "body made", do: "headers=add:made", status: 200, want: []string{"body: made\n"}},
		{name: "body injected", do: "data=once-inject:before-", chunks: []string{"a"}, status: 200, want: []string{"body: before-a\n"}},
		{name: "body too large for a buffer", do: "headers=buffer", chunks: []string{strings.Repeat("x", 600), strings.Repeat("y", 600), strings.Repeat("z", 600)},
			status: 413, want: []string{"Payload Too Large"}},

		{name: "trailers set", do: "trailers=trailer:v", chunks: []string{"a"}, trailers: true, status: 200,
			want: []string{"trailer x-trailer: v\n", "trailer x-ended: yes\n", "body: a\n"}},
		{name: "trailers in a goroutine", do: "trailers=async", chunks: []string{"a"}, trailers: true, status: 200, want: []string{"trailer x-ended: yes\n", "body: a\n"}},
		{name: "data in a goroutine, trailers behind", do: "headers=buffer,data=slow", chunks: []string{"a"}, trailers: true, status: 200,
			want: []string{"trailer x-ended: yes\n", "body: a\n"}},

		{name: "reply to headers", do: "headers=reply:no", chunks: []string{"a"}, status: 418, header: "X-Reply: one", want: []string{"no"}},
		{name: "the plugin sees its reply", do: "headers=reply:no,response=set:v,body=append:!", status: 418, header: "X-Set: v", want: []string{"no!"}},
		{name: "the plugin sees its reply in goroutines", do: "headers=async-reply:no,response=async-set:v,body=slow", status: 418, header: "X-Set: v", want: []string{"no"}},
		{name: "reply to data", do: "data=reply:no", chunks: []string{"a"}, status: 418, want: []string{"no"}},
		{name: "reply to a whole body in a goroutine", do: "headers=buffer,data=async-reply:no", chunks: []string{"a"}, status: 418, want: []string{"no"}},
		{name: "reply to trailers", do: "headers=buffer,data=buffer,trailers=reply:no", chunks: []string{"a"}, trailers: true, status: 418, want: []string{"no"}},
		{name: "reply in place of the response", do: "response=reply:no", status: 418, want: []string{"no"}},
		{name: "reply in place of the response, in a goroutine", do: "response=async-reply:no", status: 418, want: []string{"no"}},
		{name: "reply in place of the response's body", do: "response=buffer,body=reply:no", status: 418, want: []string{"no"}},
		{name: "a panic is a reply", do: "headers=panic", status: 500, want: []string{"error happened in filter"}},
		{name: "a panic in the body is a reply", do: "headers=buffer,data=panic", chunks: []string{"a"}, status: 500, want: []string{"error happened in filter"}},

		{name: "response in a goroutine", do: "response=async", status: 200, want: []string{"GET /\n"}},
		{name: "response headers set in a goroutine", do: "response=async-set:v", status: 200, header: "X-Set: v", want: []string{"GET /\n"}},
		{name: "response as a whole", do: "response=buffer,body=upper", status: 200, want: []string{"X-CONFIG: OF THE FILTER"}},
		{name: "response in pieces, in goroutines", do: "body=slow", status: 200, want: []string{"GET /\n", "body: \n"}},
		{name: "response's trailers", do: "ending=trailer:v", status: 200, want: []string{"GET /\n"}},

		{name: "metadata", do: "headers=note:text", status: 200, want: []string{"x-note: map[number:7 text:text truth:true]"}},
		{name: "metadata in logs", do: "headers=note:text", status: 200, header: `X-Metadata: {"number":7,"text":"text","truth":true}`},
		{name: "metadata in a goroutine", do: "headers=async-note:text", status: 200, header: `X-Metadata: {"text":"text"}`, want: []string{"x-note: text\n"}},
		{name: "another route", do: "headers=route:other", status: 203, want: []string{"other"}},
		{name: "another route in a goroutine", do: "headers=async-route:other", status: 203, want: []string{"other"}},
		{name: "another route after the body", do: "headers=buffer", chunks: []string{"a"}, status: 200, want: []string{"body: a"}},
		{name: "values", do: "headers=info", path: "/x", status: 200, want: []string{"x-info: HTTP/1.1 usual true /x true\n"}},
		{name: "filter state", do: "headers=state:v", status: 200, want: []string{"x-state: v\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := *e
			e.t = t
			if c.path == "" {
				c.path = "/"
			}
			got, err := e.post(c.path, c.do, c.trailers, c.chunks...)
			if err != nil {
				t.Fatal(err)
			}
			if got.status != c.status {
				t.Errorf("status %d, want %d", got.status, c.status)
			}
			for _, want := range c.want {
				if !strings.Contains(got.body, want) {
					t.Errorf("no %q in %q", want, got.body)
				}
			}
			if name, value, _ := strings.Cut(c.header, ": "); name != "" && got.header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
			}
			if c.do == "ending=trailer:v" && (got.trailer.Get("x-trailer") != "v" || got.trailer.Get("x-ended") != "yes") {
				t.Errorf("trailers %v", got.trailer)
			}
		})
	}
}

// Everything that a stream is told of comes once, whatever becomes of it.
func TestLifeOfStreams(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, do := range []string{"", "headers=reply:no", "headers=async", "response=async-reply:no", "headers=panic"} {
		if _, err := e.post("/", do, false); err != nil {
			t.Fatal(err)
		}
	}
	// One whose client leaves while a goroutine has it, and one that nobody lets go.
	for _, do := range []string{"headers=slow", "headers=never"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-do", do)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: status %d before the client left", do, resp.StatusCode)
		}
		cancel()
	}
	n := 7
	harness.Eventually(t, "all streams have ended", func() bool {
		got, err := e.post("/", "headers=counts", false)
		if err != nil {
			t.Fatal(err)
		}
		n++
		// The asking stream itself is made and has not ended.
		return got.body == fmt.Sprintf("created=%d completed=%d logged=%d destroyed=%d", n, n-1, n-1, n-1)
	})
	e.wantMetric("plugin_streams", n)
	e.wantMetric("plugin_open", 0)
	e.wantMetric("panic_error", 1)
	for range 2 {
		if _, err := e.post("/", "headers=count:later", false); err != nil {
			t.Fatal(err)
		}
	}
	e.wantMetric("later", 4)
}

func TestRefusedConfiguration(t *testing.T) {
	t.Parallel()
	e := launch(t, "refused")
	if code := e.ExitCode(harness.Patience); code == 0 {
		t.Error("Envoy runs with a configuration that the plugin refuses")
	}
	if all := e.Stderr().Tail(50); !strings.Contains(all, "the plugin refuses its configuration") {
		t.Errorf("Envoy does not say why: %s", all)
	}
}

// What contrib does not allow ends Envoy, and says what it was.
func TestViolationsEndEnvoy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		do, says string
		chunks   []string
	}{
		{do: "headers=twice", says: "gone on or replied already"},
		{do: "headers=both", says: "has said how to go on by a call as well"},
		{do: "headers=unsaid", says: "says that it replied"},
		{do: "headers=unknown", says: "status 42 in phase 1 has no meaning"},
		{do: "data=wants-more", chunks: []string{"a"}, says: "wants more of what has ended"},
		{do: "headers=line-break", says: "a line break or NUL"},
		{do: "headers=odd-name", says: "a character in a header's name"},
		{do: "headers=no-status", says: "a status that no response has"},
		{do: "headers=keep,data=use-headers", chunks: []string{"a"}, says: "the headers or trailers have been passed on"},
		{do: "data=use-buffer", chunks: []string{"a", "b"}, says: "the buffer has been passed on"},
		{do: "headers=after", says: "the stream is destroyed"},
	} {
		t.Run(c.do, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			for e.running() {
				_, _ = e.postFor(ctx, "/", c.do, false, c.chunks...) // the connection breaks
				if ctx.Err() != nil {
					break
				}
			}
			if c.do == "headers=after" {
				_, _ = e.post("/", "", false) // the stream after, which its goroutine waits for
			}
			if code := e.ExitCode(harness.Patience); code == 0 {
				t.Error("Envoy has ended well")
			}
			if all := e.Stderr().Tail(200); !strings.Contains(all, "golanghost: violation: ") || !strings.Contains(all, c.says) {
				t.Errorf("Envoy does not say %q: %s", c.says, all)
			}
		})
	}
}

// Within OnDestroy contrib says no to a call, which is no violation: a goroutine
// may have begun it before.
func TestCallsWhileDestroyed(t *testing.T) {
	t.Parallel()
	e := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _ = e.postFor(ctx, "/", "headers=callback-after", false)
	if got, err := e.post("/", "", false); err != nil || got.status != http.StatusOK {
		t.Errorf("status %d, %v", got.status, err)
	}
}
