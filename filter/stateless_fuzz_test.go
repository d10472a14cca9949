package filter

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

// FuzzStatelessBody: what reaches a server says the same in its headers as in its
// body, whoever reads the body, and what does not agree reaches nobody.
func FuzzStatelessBody(f *testing.F) {
	for _, seed := range [][3]string{
		{stateless("tools/call", `"name":"now_add"`), "tools/call", "now_add"},
		{stateless("tools/call", `"name":"now\u005fadd"`), "tools/call", "now_add"},
		{stateless("tools/call", `"name":"now_add","Name":"both_add"`), "tools/call", "now_add"},
		{stateless("tools/call", `"name":"now_größe"`), "tools/call", "=?base64?bm93X2dyw7bDn2U=?="},
		{stateless("prompts/get", `"name":"now_brief"`), "prompts/get", "now_brief"},
		{stateless("resources/read", `"uri":"now+a:b"`), "resources/read", "now+a:b"},
		{stateless("resources/read", `"uri":"now+=?base64?YQ==?="`), "resources/read", "now+=?base64?YQ==?="},
		{stateless("tasks/update", `"taskId":"both+7"`), "tasks/update", "both+7"},
		{stateless("completion/complete", `"ref":{"type":"ref/prompt","name":"now_brief"}`), "completion/complete", ""},
		{stateless("tools/list", ``), "tools/list", ""},
	} {
		f.Add([]byte(seed[0]), seed[1], seed[2])
	}
	g := erasGateway(f)
	f.Fuzz(func(t *testing.T, body []byte, method, name string) {
		headers := statelessHeaders(method, name, mcp.HeaderSession, "s1")
		s, d := post(g, string(body), headers...)
		if d.Action == Reply {
			if !json.Valid(d.Body) {
				t.Fatalf("answer is no JSON: %q", d.Body)
			}
			return
		}
		if s.phase != phaseServer {
			return
		}
		out := string(body)
		if d.Splice.Start != d.Splice.End {
			out = spliced(out, d)
		}
		e := edits(d)
		if changed, ok := e[mcp.HeaderName]; ok {
			name = changed
		}
		var seen struct {
			Method string
			Params struct{ Name, URI, TaskID string }
		}
		if err := json.Unmarshal([]byte(out), &seen); err != nil {
			t.Fatalf("forwarded what encoding/json refuses: %v: %q", err, out)
		}
		if e[mcp.HeaderSession] != "(removed)" || strings.TrimSpace(method) != seen.Method {
			t.Fatalf("edits %v, method %q for %q", e, method, out)
		}
		want := seen.Params.Name
		switch seen.Method {
		case mcp.MethodComplete:
			return
		case mcp.MethodResourcesRead:
			want = seen.Params.URI
		case mcp.MethodTasksGet, mcp.MethodTasksUpdate, mcp.MethodTasksCancel:
			want = seen.Params.TaskID
		}
		if got, ok := modern.DecodeHeader(nil, []byte(strings.TrimSpace(name))); !ok || string(got) != want {
			t.Fatalf("Mcp-Name %q (%q) for %q", name, got, out)
		}
	})
}
