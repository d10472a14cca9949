package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
)

// What servers of four SDKs offer is there under one endpoint, whole.
func TestServersOfFourSDKs(t *testing.T) {
	t.Parallel()
	o := federation(t)
	for name, test := range map[string]func(*testing.T, others){
		"items are the servers'":            itemsAreTheServers,
		"answers are the servers'":          answersAreTheServers,
		"links lead somewhere":              linksLeadSomewhere,
		"progress is on its call's stream":  progressIsOnItsStream,
		"progress of many calls of clients": progressOfClients,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, o)
		})
	}
}

// listed returns what a server lists: without a session if it has that, as the
// order of the members is not the same in both ways with all SDKs.
func listed(t *testing.T, url, method string) []string {
	t.Helper()
	r := modernClient(harness.NewClient(t, url), method, "").Post(modernBody(method, ""))
	if reply, err := r.Reply(); err == nil && ok(r) {
		return harness.Items(t, method, string(reply.Result))
	}
	return harness.Connect(t, url).List(method)
}

// Every item of every list has the bytes that its server sends, but for its name.
func itemsAreTheServers(t *testing.T, o others) {
	for method, member := range map[string]string{
		"tools/list": "name", "prompts/list": "name", "resources/list": "uri", "resources/templates/list": "uriTemplate",
	} {
		merged := harness.Connect(t, o.URL).List(method)
		for name, url := range o.urls {
			for _, item := range listed(t, url, method) {
				var names map[string]json.RawMessage
				if err := json.Unmarshal([]byte(item), &names); err != nil {
					t.Fatal(err)
				}
				var own string
				if err := json.Unmarshal(names[member], &own); err != nil {
					t.Fatalf("%s of %s: %v: %s", method, name, err, item)
				}
				exposed := o.prefixes[name] + own
				if member != "name" {
					exposed = name + "+" + own
				}
				want := renamed(item, member, own, exposed)
				found := false
				for _, got := range merged {
					found = found || got == want
				}
				if !found {
					t.Errorf("%s: no such item: %s", method, want)
				}
			}
		}
	}
}

// Annotations, structured content, metadata: a result has the server's bytes.
func answersAreTheServers(t *testing.T, o others) {
	c := harness.Connect(t, o.URL)
	for _, call := range []struct{ server, method, params string }{
		{"everything", "tools/call", `{"name":"%sget-annotated-message","arguments":{"messageType":"error","includeImage":true}}`},
		{"everything", "tools/call", `{"name":"%sget-structured-content","arguments":{"location":"Chicago"}}`},
		{"everything", "tools/call", `{"name":"%sget-tiny-image","arguments":{}}`},
		{"everything", "prompts/get", `{"name":"%scompletable-prompt","arguments":{"department":"Sales","name":"Eve"}}`},
		{"reference", "tools/call", `{"name":"%stest_multiple_content_types","arguments":{}}`},
		{"reference", "tools/call", `{"name":"%stest_audio_content","arguments":{}}`},
		{"reference", "tools/call", `{"name":"%stest_error_handling","arguments":{}}`},
		{"reference", "prompts/get", `{"name":"%stest_prompt_with_image"}`},
		{"python", "tools/call", `{"name":"%swas_cancelled","arguments":{"name":"nobody"}}`},
		{"python", "tools/call", `{"name":"%slink","arguments":{"name":"a b"}}`},
		{"python", "tools/call", `{"name":"%scount","arguments":{"to":"many"}}`},
		{"weather", "tools/call", `{"name":"%sget_weather","arguments":{"city":"Berlin"}}`},
		{"weather", "prompts/get", `{"name":"%spack_bag","arguments":{"city":"Berlin"}}`},
	} {
		ask := func(c *harness.Client, prefix string) string {
			return c.Post(fmt.Sprintf(`{"jsonrpc":"2.0","id":"1","method":%q,"params":%s}`, call.method, fmt.Sprintf(call.params, prefix))).Message()
		}
		want := ask(harness.Connect(t, o.urls[call.server]), "")
		// A link is to work at the gateway.
		want = strings.NewReplacer(`"uri":"`, `"uri":"`+call.server+`+`).Replace(want)
		if diff := cmp.Diff(want, ask(c, o.prefixes[call.server])); diff != "" {
			t.Errorf("%s of %s (-own +gateway):\n%s", call.params, call.server, diff)
		}
	}
}

// A client follows the links that a tool gave it.
func linksLeadSomewhere(t *testing.T, o others) {
	c := harness.Connect(t, o.URL)
	seen := 0
	for tool, arguments := range map[string]string{
		"everything_get-resource-links":     `{"count":4}`,
		"everything_get-resource-reference": `{"resourceType":"Text","resourceId":3}`,
		"py_link":                           `{"name":"Ada"}`,
		"weather_get_weather":               `{"city":"Berlin"}`,
	} {
		var result struct {
			Content []struct {
				URI      string
				Resource struct{ URI string }
			}
		}
		raw := c.Tool(tool, arguments)
		if err := json.Unmarshal([]byte(raw), &result); err != nil {
			t.Fatalf("%s: %v: %s", tool, err, raw)
		}
		for _, block := range result.Content {
			uri := block.URI + block.Resource.URI
			if uri == "" {
				continue
			}
			seen++
			var read struct {
				Contents []struct{ URI, Text, Blob string }
			}
			raw := c.Request("resources/read", fmt.Sprintf(`{"uri":%q}`, uri))
			if err := json.Unmarshal([]byte(raw), &read); err != nil {
				t.Fatalf("%s: %v: %s", uri, err, raw)
			}
			if len(read.Contents) != 1 || read.Contents[0].URI != uri || read.Contents[0].Text+read.Contents[0].Blob == "" {
				t.Errorf("%s, which %s links to: %s", uri, tool, raw)
			}
		}
	}
	if seen != 7 {
		t.Errorf("%d links followed, want 7", seen)
	}
}

// Eight calls at once to two servers, three events each: each event on the stream
// of its own call, none on the session's stream.
func progressIsOnItsStream(t *testing.T, o others) {
	const calls, events = 8, 3
	c := harness.Connect(t, o.URL)
	listening := c.Listen()
	var streams []*harness.Stream
	for i := range calls {
		params := `"name":"ref_test_tool_with_progress","arguments":{}`
		if i%2 == 1 {
			params = `"name":"py_count","arguments":{"to":3}`
		}
		streams = append(streams, c.Open(http.MethodPost,
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{%s,"_meta":{"progressToken":%s}}}`, i+1, params, token(i))))
	}
	for i, s := range streams {
		got := s.End()
		if len(got) != events+1 {
			t.Errorf("call %d: %d events, want %d: %q", i, len(got), events+1, got)
			continue
		}
		for _, event := range got[:events] {
			contains(t, fmt.Sprintf("call %d", i), event, `"progressToken":`+token(i)+",")
		}
		contains(t, "last event", got[events], fmt.Sprintf(`"id":%d,`, i+1))
	}
	c.Do(http.MethodDelete, "")
	for _, event := range listening.End() {
		if strings.Contains(event, "progress") {
			t.Errorf("on the session's stream: %s", event)
		}
	}
}

// token is a progress token, of either type that the protocol allows.
func token(i int) string {
	if i < 4 {
		return fmt.Sprintf(`"t%d"`, i)
	}
	return fmt.Sprint(i)
}

func progressOfClients(t *testing.T, o others) {
	bySDK(t, func(t *testing.T, run sdk) {
		var steps []string
		for i := range 8 {
			steps = append(steps, []string{
				`{"do":"tools/call","name":"ref_test_tool_with_progress","arguments":{}}`,
				`{"do":"tools/call","name":"py_count","arguments":{"to":3}}`,
			}[i%2])
		}
		out := run(t, o.URL, `[{"do":"together","steps":[`+strings.Join(steps, ",")+`]}]`, "{}")
		for i, s := range out.Steps[0].together(t) {
			if s.Error != nil || len(s.Progress) != 3 || s.Progress[2].Progress != s.Progress[2].Total {
				t.Errorf("call %d: %s, progress %v, want 3 up to the total", i, s.text(), s.Progress)
			}
		}
	})
}
