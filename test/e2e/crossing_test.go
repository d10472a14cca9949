package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
)

// behindModern is a gateway in front of servers that speak 2026-07-28 only, one of
// them of the Python SDK and one of the Go SDK.
func behindModern(t *testing.T) harness.Config {
	t.Helper()
	_, reference := harness.ReferenceModern(t, "")
	return harness.Config{Servers: []harness.Server{
		{Name: "python", URL: harness.Eras(t, "python", modern), Prefix: "py_"}, {Name: "go", URL: reference, Prefix: "go_", Extra: []string{"era: modern"}}, // it has sessions, too
	}}
}

// connected opens a session of a client that can be asked for everything.
func connected(t *testing.T, url string) *harness.Client {
	t.Helper()
	c := harness.NewClient(t, url)
	r := c.Post(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"sampling":{},"roots":{}},"clientInfo":{"name":"c","version":"1"}}}`)
	if !ok(r) {
		t.Fatalf("initialize: %s", r)
	}
	c.Header.Set(harness.HeaderSession, r.Header.Get(harness.HeaderSession))
	return c
}

// Servers of two SDKs refuse what is not as they want it: headers that mirror
// arguments, and capabilities that are not there.
func TestCallsOfSessionsToStatelessServers(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, behindModern(t))
	c := connected(t, g.URL)
	for _, region := range []string{"us-west1", " é "} {
		if got := c.Tool("go_test_x_mcp_header", `{"region":"`+region+`","level":1}`); !strings.Contains(got, `"content"`) || strings.Contains(got, `"isError":true`) {
			t.Errorf("mirrored argument: %s", got)
		}
	}
	poor := harness.Connect(t, g.URL)
	wantError(t, poor.Post(call("3", "go_test_missing_capability")), 200, mcp.CodeInternalError, "3")
	wantError(t, c.Post(`{"jsonrpc":"2.0","id":4,"method":"resources/read","params":{"uri":"go+test://none"}}`), 200, mcp.CodeResourceNotFound, "4")
	wantError(t, c.Post(call("5", "py_nope")), 200, mcp.CodeInvalidParams, "5")
	r := c.Post(`{"jsonrpc":"2.0","id":6,"method":"resources/read","params":{"uri":"go+test://static-text"}}`)
	if !ok(r) || !strings.Contains(r.Body, `"uri":"go+test://static-text"`) || strings.Contains(r.Body, "ttlMs") {
		t.Errorf("resource: %s", r)
	}
}

// Whatever a server may require before it answers, clients of two SDKs are asked
// for it in their own revision.
func TestSessionsAreAskedWhatStatelessServersRequire(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, behindModern(t))
	bySDK(t, func(t *testing.T, run sdk) {
		var steps, wants []string
		for _, tool := range []struct{ name, want string }{
			{"elicitation", "Hello, to "}, {"sampling", "Sampling response: to "}, {"list_roots", "1 root(s): file:///first"},
			{"multiple_inputs", "1 root(s) visible"}, {"multi_round", "Multi-round complete"}, {"request_state", "state-ok"},
			{"capabilities", "fulfilled"},
		} {
			steps = append(steps, `{"do":"tools/call","name":"go_test_input_required_result_`+tool.name+`","arguments":{}}`)
			wants = append(wants, tool.want)
		}
		steps = append(steps, `{"do":"prompts/get","name":"go_test_input_required_result_prompt"}`)
		out := run(t, g.URL, "["+strings.Join(steps, ",")+"]", `{"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`)
		for i, want := range wants {
			contains(t, steps[i], out.Steps[i].text(), want)
		}
		if last := out.Steps[len(wants)]; last.Error != nil {
			t.Errorf("prompt: %s", last.text())
		}
	})
}

// Clients of HTTP+SSE and the servers farthest from them.
func TestOldClientsAndStatelessServers(t *testing.T) {
	t.Parallel()
	g := harness.Run(t, behindModern(t))
	for name, run := range map[string]sdk{"TypeScript": typescriptClient("sse"), "Python": pythonClient("sse")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := run(t, g.URL+"/sse", `[
				{"do":"together","steps":[
					{"do":"tools/call","name":"py_ask_user","arguments":{"message":"one"}},
					{"do":"tools/call","name":"py_ask_model","arguments":{"prompt":"two"}},
					{"do":"tools/call","name":"py_ask_roots","arguments":{}},
					{"do":"tools/call","name":"py_count","arguments":{"to":2}}
				]},
				{"do":"tools/call","name":"py_hang","arguments":{"name":"`+name+`"},"cancel":true},
				{"do":"tools/call","name":"py_was_cancelled","arguments":{"name":"`+name+`"},"until":"True"}
			]`, `{"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`)
			for i, want := range []string{"to one", "to two", "file:///first", "counted to 2"} {
				contains(t, "answer", out.Steps[0].together(t)[i].text(), want)
			}
			contains(t, "answer", out.Steps[2].text(), "cancelled True")
		})
	}
}

// A server's question is asked at one gateway and answered at another that shares
// its Redis; so is a call taken back.
func TestGatewaysShareCallsToStatelessServers(t *testing.T) {
	t.Parallel()
	config := behindModern(t)
	config.Sessions = []string{"store: " + redistest.Start(t).URL()}
	first, second := harness.Run(t, config), harness.Run(t, config)
	c := connected(t, first.URL)
	same := *c
	same.URL = second.URL

	s := c.Open(http.MethodPost, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"py_ask_user","arguments":{"message":"you"}}}`)
	question := s.Until("elicitation/create")
	id := regexp.MustCompile(`"id":("(?:[^"\\]|\\.)*")`).FindStringSubmatch(question)
	if id == nil {
		t.Fatalf("no id: %s", question)
	}
	answer := `{"jsonrpc":"2.0","id":` + id[1] + `,"result":{"action":"accept","content":{"name":"from afar"}}}`
	stranger := connected(t, second.URL)
	for _, at := range []*harness.Client{stranger, &same} {
		if r := at.Post(answer); r.Status != http.StatusAccepted {
			t.Errorf("answer: %s", r)
		}
	}
	if got := s.Next(); !strings.Contains(got, `"id":7,"result"`) || !strings.Contains(got, "from afar") {
		t.Errorf("result: %s", got)
	}

	s = c.Open(http.MethodPost, `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"py_hang","arguments":{"name":"h"},"_meta":{"progressToken":1}}}`)
	s.Until("notifications/progress")
	if r := same.Post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}`); r.Status != http.StatusAccepted {
		t.Errorf("cancelled: %s", r)
	}
	if rest := s.End(); len(rest) != 0 {
		t.Errorf("after the cancellation: %q", rest)
	}
	harness.Eventually(t, "end of the tool", func() bool {
		return strings.Contains(c.Tool("py_was_cancelled", `{"name":"h"}`), "True")
	})
}
