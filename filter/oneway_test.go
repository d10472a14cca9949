package filter

import (
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

func TestMessagesWithoutResult(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, server, want string // no server: to the broker, as it is
	}{
		{"Result", `{"jsonrpc":"2.0","id":"weather~7","result":{"id":"x~1"}}`, "weather", `{"jsonrpc":"2.0","id":7,"result":{"id":"x~1"}}`},
		{"Error", `{"error":{"code":-1,"message":"x"},"id":"docs~\"a\\u0041\"","jsonrpc":"2.0"}`, "docs", `{"error":{"code":-1,"message":"x"},"id":"a\u0041","jsonrpc":"2.0"}`},
		{"EscapedMark", `{"jsonrpc":"2.0","id":"docs\u007e-1","result":{}}`, "docs", `{"jsonrpc":"2.0","id":-1,"result":{}}`},
		{"Progress", `{"jsonrpc":"2.0","method":"notifications\/progress","params":{"progressToken":"weather~1","progress":1.0}}`, "weather", `{"jsonrpc":"2.0","method":"notifications\/progress","params":{"progressToken":1,"progress":1.0}}`},
		{"ResultWithoutMark", `{"jsonrpc":"2.0","id":7,"result":{}}`, "", ""},
		{"UnknownServer", `{"jsonrpc":"2.0","id":"gone~7","result":{}}`, "", ""},
		{"MarkOfNoScalar", `{"jsonrpc":"2.0","id":"docs~1,\"method\":\"x\"","result":{}}`, "", ""},
		{"NullID", `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}`, "", ""},
		{"ProgressWithoutMark", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`, "", ""},
		{"MarkedMeta", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"_meta":{"progressToken":"docs~1"}}}`, "", ""},
		{"OtherNotification", `{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":{"progressToken":"docs~1","requestId":1}}`, "", ""},
		{"CancelledUnknown", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, "", ""},
		{"CancelledNothing", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := sealed("s1", tt.body)
			_, d := post(newGateway(t), body, "authorization", "Bearer x", "content-length", fmt.Sprint(len(body)))
			if d.Action != Pass {
				t.Fatalf("%+v %s", d, d.Body)
			}
			e := edits(d)
			if chosen(e) != tt.server {
				t.Fatalf("to %q: %v", chosen(e), e)
			}
			if tt.server == "" {
				if d.Splice.Start != d.Splice.End || !d.Plain || e["authorization"] != "" {
					t.Errorf("%+v", d)
				}
				return
			}
			if got := spliced(body, d); got != tt.want || e["content-length"] != fmt.Sprint(len(got)) {
				t.Errorf("got %s of %s bytes, want %s", got, e["content-length"], tt.want)
			}
			if d.Plain || d.PlainJSON || e["mcp-session-id"] != "b-"+tt.server || e["authorization"] != "(removed)" {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestMessageWithoutResultNeedsASession(t *testing.T) {
	t.Parallel()
	body := sealed("cold", `{"jsonrpc":"2.0","id":"docs~7","result":{}}`)
	if _, d := post(newGateway(t), body, "mcp-session-id", "-"); d.Action != Pass || !d.Plain {
		t.Errorf("without session: %+v", d)
	}
	s, d := post(newGateway(t), body, "mcp-session-id", "cold")
	if d.Action != Ask || string(d.Question.Body) != `{"session":"cold","server":"docs","cluster":"mcp-server-docs"}` {
		t.Fatalf("%+v", d)
	}
	if d = s.Answer(200, []byte(resolved), second); d.Action != Pass || spliced(body, d) != `{"jsonrpc":"2.0","id":7,"result":{}}` {
		t.Errorf("%+v", d)
	}
	for status, want := range map[int]int{404: 404, 502: 202, 0: 202} {
		s, _ = post(newGateway(t), body, "mcp-session-id", "cold")
		if d = finally(t, s, status, "", second); d.Action != Reply || d.Status != want || want == 202 && (len(d.Body) > 0 || d.Reason == "") {
			t.Errorf("%d: %+v %s", status, d, d.Body)
		}
	}
	s, _ = post(newGateway(t), body, "mcp-session-id", "cold")
	if d = s.Answer(410, nil, second); d.Action != Pass || !d.Plain {
		t.Errorf("server gone: %+v", d)
	}
}

// The table may be older than the server that asked.
func TestMarkOfANewServerLooksTwice(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	longFetched(g)
	body := sealed("s1", `{"jsonrpc":"2.0","id":"fresh~7","result":{}}`)
	s, d := post(g, body)
	if d.Action != Ask || d.Question.Path != "/v1/table" {
		t.Fatalf("%+v", d)
	}
	table := testTable()
	table.Version = "v2"
	table.Servers = append(table.Servers, gatewayconfig.TableServer{Name: "fresh", Cluster: "mcp-server-fresh", Authority: "x", Path: "/", Label: "fresh"})
	putTable(t, g, table)
	g.sessions.put([]byte("s1"), backend{place: "mcp-server-fresh", id: []byte("b-fresh"), expires: 30 * second})
	if d = s.Answer(304, nil, second); d.Action != Pass || chosen(edits(d)) != "fresh" || spliced(body, d) != `{"jsonrpc":"2.0","id":7,"result":{}}` {
		t.Errorf("%+v", d)
	}
}

func TestCancelledFollowsItsRequest(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	cancelled := func(id, session string) string {
		_, d := post(g, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+id+`,"reason":"x"}}`, "mcp-session-id", session)
		if d.Action != Pass || d.Splice.Start != d.Splice.End {
			t.Fatalf("%s: %+v", id, d)
		}
		return chosen(edits(d))
	}
	post(g, call("search"))
	post(g, strings.Replace(call("weather_get_weather"), `"id":1`, `"id":"1"`, 1))
	post(g, `{"jsonrpc":"2.0","id":3,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"weather_brief"},"argument":{}}}`)
	for id, want := range map[string]string{`1`: "docs", `"1"`: "weather", `3`: "weather", `2`: ""} {
		if got := cancelled(id, "s1"); got != want {
			t.Errorf("%s of s1 goes to %q, want %q", id, got, want)
		}
		if got := cancelled(id, "s2"); got != "" {
			t.Errorf("%s of another session goes to %q", id, got)
		}
	}
	// Another table, the same server in another place; then without it.
	table := testTable()
	table.Version = "v2"
	table.Servers[0], table.Servers[1] = table.Servers[1], table.Servers[0]
	putTable(t, g, table)
	if got := cancelled("1", "s1"); got != "docs" {
		t.Errorf("after a new table: %q", got)
	}
	table.Version, table.Servers, table.Tools = "v3", table.Servers[1:], nil
	table.Prompts = nil
	putTable(t, g, table)
	if got := cancelled("1", "s1"); got != "" {
		t.Errorf("without the server: %q", got)
	}
}

func TestAnswersToMessagesWithoutResult(t *testing.T) {
	t.Parallel()
	body := sealed("s1", `{"jsonrpc":"2.0","id":"docs~7","result":{}}`)
	for _, tt := range []struct {
		status, contentType string
		end                 bool
		reason              string
	}{
		{"202", "", true, ""},
		{"202", "application/json", false, ""},
		{"200", "application/json", false, ""},
		{"204", "", true, ""},
		{"400", "application/json", false, "bad_answer"},
		{"404", "text/plain", false, "session_lost"},
		{"500", "text/html", false, "bad_answer"},
		{"503", "text/plain", false, "server_down"},
	} {
		g := newGateway(t)
		s, _ := post(g, body)
		d := s.ResponseHeaders(headersOf(tt.status, tt.contentType), tt.end)
		if tt.status == "202" && tt.end {
			if d.Action != Pass || !d.Done {
				t.Errorf("%+v: %+v", tt, d)
			}
			continue
		}
		if d.Action != Reply || d.Status != 202 || len(d.Body) > 0 || len(d.Edits) > 0 || d.Reason != tt.reason || d.Server != "docs" {
			t.Errorf("%+v: %+v %s", tt, d, d.Body)
		}
		if b, ok := g.sessions.get([]byte("s1"), "mcp-server-docs", second); ok == (tt.status == "404") || b.stale != (tt.status == "404") {
			t.Errorf("%+v: session %+v", tt, b)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	complete := func(ref string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"argument":{"name":"a","value":"b"},"ref":` + ref + `}}`
	}
	for _, tt := range []struct{ ref, server, want, code string }{
		{`{"type":"ref/prompt","name":"weather_brief"}`, "weather", `{"type":"ref/prompt","name":"brief"}`, ""},
		{`{"name":"new_x","type":"ref\/prompt","title":"t"}`, "new", `{"name":"x","type":"ref\/prompt","title":"t"}`, ""},
		{`{"type":"ref/resource","uri":"docs+file:///{path}"}`, "docs", `{"type":"ref/resource","uri":"file:///{path}"}`, ""},
		{`{"type":"ref/prompt","name":"nope"}`, "", "", "-32602"},
		{`{"type":"ref/prompt","uri":"docs+a:b"}`, "", "", "-32602"},
		{`{"type":"ref/resource","uri":"nope+a:b"}`, "", "", "-32602"},
		{`{"type":"ref/other","name":"weather_brief"}`, "", "", "-32602"},
		{`{"name":"weather_brief"}`, "", "", "-32602"},
		{`"x"`, "", "", "-32602"},
	} {
		g := newGateway(t)
		_, d := post(g, complete(tt.ref))
		if tt.server == "" {
			if d.Action != Reply || d.Status != 200 || !strings.Contains(string(d.Body), tt.code) {
				t.Errorf("%s: %+v %s", tt.ref, d, d.Body)
			}
			continue
		}
		if e := edits(d); d.Action != Pass || chosen(e) != tt.server || spliced(complete(tt.ref), d) != complete(tt.want) {
			t.Errorf("%s: %+v", tt.ref, d)
		}
	}
	g := newGateway(t)
	table := testTable()
	table.Servers = table.Servers[1:2]
	table.Servers[0].Label = ""
	table.Tools, table.Prompts = nil, nil
	putTable(t, g, table)
	for _, ref := range []string{`{"type":"ref/prompt","name":"x"}`, `{"type":"ref/resource","uri":"x+a:b"}`} {
		if _, d := post(g, complete(ref)); d.Action != Pass || chosen(edits(d)) != "docs" || d.Splice.Start != d.Splice.End {
			t.Errorf("sole server, %s: %+v", ref, d)
		}
	}
}
