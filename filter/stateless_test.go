package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// statelessMeta is the _meta of a request of 2026-07-28.
const statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// erasTable has a server of each kind beside those of testTable, which know no
// stateless revision.
func erasTable() gatewayconfig.Table {
	table := testTable()
	table.Servers = append(table.Servers,
		gatewayconfig.TableServer{Name: "now", Cluster: "mcp-server-now", Authority: "10.1.1.4:9001", Path: "/api", Prefix: "now_", Label: "now", Listed: true, Resources: true, Modern: true, ModernOnly: true},
		gatewayconfig.TableServer{Name: "both", Cluster: "mcp-server-both", Authority: "10.1.1.5:9001", Path: "/mcp", Prefix: "both_", Label: "both", Listed: true, Modern: true},
		gatewayconfig.TableServer{Name: "early", Cluster: "mcp-server-early", Authority: "10.1.1.6:9001", Path: "/mcp", Prefix: "early_", Label: "early", ModernOnly: true},
	)
	table.Tools["now_add"] = gatewayconfig.Target{Server: 3, Name: "add"}
	table.Tools["now_größe"] = gatewayconfig.Target{Server: 3, Name: "größe"}
	table.Tools["both_add"] = gatewayconfig.Target{Server: 4, Name: "add"}
	table.Prompts["now_brief"] = gatewayconfig.Target{Server: 3, Name: "brief"}
	table.Views = []gatewayconfig.TableView{{Name: "team", Servers: []int{0, 3}, Tools: gatewayconfig.Rules{Deny: []string{"now_g*"}}}}
	return table
}

func erasGateway(t testing.TB) *Gateway {
	t.Helper()
	g := newGateway(t)
	putTable(t, g, erasTable())
	for _, s := range []string{"now", "both", "early"} {
		g.sessions.put([]byte("s1"), backend{place: "mcp-server-" + s, id: []byte("b-" + s), version: "2025-11-25", expires: 30 * second})
	}
	return g
}

// statelessHeaders are for postHeaders, of a client without a session.
func statelessHeaders(method, name string, extra ...string) []string {
	out := []string{"mcp-session-id", "-", "mcp-protocol-version", "2026-07-28", "mcp-method", method}
	if name != "" {
		out = append(out, "mcp-name", name)
	}
	return append(out, extra...)
}

// stateless is a request with raw params but for _meta, which declares the tasks
// extension for tasks/*.
func stateless(method, params string) string {
	if params != "" {
		params += ","
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + statelessMeta + `}}`
	if strings.HasPrefix(method, "tasks/") {
		body = strings.Replace(body, `"io.modelcontextprotocol/clientCapabilities":{}`, tasksCapability, 1)
	}
	return body
}

func TestStatelessForward(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, params, header string
		want                         string // of params
		wantHeader, server           string
	}{
		{"Tool", "tools/call", `"name":"now_add","arguments":{"n":1.0,"big":1e400}`, "now_add", `"name":"add","arguments":{"n":1.0,"big":1e400}`, "add", "now"},
		{"Dual", "tools/call", `"name":"both_add"`, "both_add", `"name":"add"`, "add", "both"},
		{"Prompt", "prompts/get", `"name":"now_brief"`, "now_brief", `"name":"brief"`, "brief", "now"},
		{"Base64", "tools/call", `"name":"now_größe"`, "=?base64?bm93X2dyw7bDn2U=?=", `"name":"größe"`, "=?base64?Z3LDtsOfZQ==?=", "now"},
		{"EscapedInTheBody", "tools/call", `"name":"now\u005fadd"`, "now_add", `"name":"add"`, "add", "now"},
		{"Space", "tools/call", `"name":"now_add"`, "  now_add ", `"name":"add"`, "add", "now"},
		{"Resource", "resources/read", `"uri":"now+file:///a"`, "now+file:///a", `"uri":"file:///a"`, "file:///a", "now"},
		{"ResourceInBase64", "resources/read", `"uri":"now+a:ä"`, "=?base64?bm93K2E6w6Q=?=", `"uri":"a:ä"`, "=?base64?YTrDpA==?=", "now"},
		{"Completion", "completion/complete", `"ref":{"type":"ref/prompt","name":"now_brief"}`, "", `"ref":{"type":"ref/prompt","name":"brief"}`, "", "now"},
		{"CompletionWithName", "completion/complete", `"ref":{"type":"ref/resource","uri":"now+a:{b}"}`, "x", `"ref":{"type":"ref/resource","uri":"a:{b}"}`, "(removed)", "now"},
		{"Task", "tasks/get", `"taskId":"now+7"`, "now+7", `"taskId":"7"`, "7", "now"},
		{"TaskUpdate", "tasks/update", `"taskId":"both+a+b","inputResponses":{}`, "both+a+b", `"taskId":"a+b","inputResponses":{}`, "a+b", "both"},
		{"TaskCancel", "tasks/cancel", `"taskId":"now+7"`, "now+7", `"taskId":"7"`, "7", "now"},
		{"Unlisted", "tools/call", `"name":"early_x"`, "early_x", `"name":"x"`, "x", "early"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body, want := stateless(tt.method, tt.params), stateless(tt.method, tt.want)
			headers := statelessHeaders(tt.method, tt.header, "mcp-session-id", "s1", "mcp-param-city", "=?base64?w6Q=?=",
				"authorization", "x", "x-mcp-long", "1", "content-length", "5", "accept-encoding", "gzip")
			s, d := post(erasGateway(t), body, headers...)
			if d.Action != Pass || !d.Reroute || s.phase != phaseServer {
				t.Fatalf("action %v, reroute %v: %s", d.Action, d.Reroute, d.Body)
			}
			if got := spliced(body, d); got != want {
				t.Errorf("body\n got %s\nwant %s", got, want)
			}
			e := edits(d)
			if e["mcp-name"] != tt.wantHeader || chosen(e) != tt.server || e["content-length"] != fmt.Sprint(len(want)) {
				t.Errorf("edits %v", e)
			}
			if e["mcp-session-id"]+e["authorization"]+e["x-mcp-long"]+e["accept-encoding"] != strings.Repeat("(removed)", 4) {
				t.Errorf("edits %v", e)
			}
			for _, stays := range []string{"mcp-method", "mcp-protocol-version", "mcp-param-city"} {
				if _, ok := e[stays]; ok {
					t.Errorf("%s is touched: %v", stays, e)
				}
			}
		})
	}
}

func TestStatelessRefused(t *testing.T) {
	t.Parallel()
	const bare = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	add := stateless("tools/call", `"name":"now_add"`)
	future := strings.ReplaceAll(add, "2026-07-28", "2027-01-01")
	for _, tt := range []struct {
		name, body   string
		headers      []string
		status, code int
	}{
		{"NoMeta", bare, statelessHeaders("tools/list", ""), 400, -32602},
		{"NoMetaButMethod", bare, []string{"mcp-protocol-version", "-", "mcp-method", "tools/list"}, 400, -32602},
		{"MetaOnly", add, []string{"mcp-protocol-version", "-"}, 400, -32020},
		{"NoVersion", add, []string{"mcp-protocol-version", "-", "mcp-method", "tools/call", "mcp-name", "now_add"}, 400, -32020},
		{"LegacyVersion", add, []string{"mcp-method", "tools/call", "mcp-name", "now_add"}, 400, -32020},
		{"OtherName", add, statelessHeaders("tools/call", "both_add"), 400, -32020},
		{"OwnName", add, statelessHeaders("tools/call", "add"), 400, -32020},
		{"OtherMethod", add, statelessHeaders("prompts/get", "now_add"), 400, -32020},
		{"ForeignSpaceAtTheMethod", add, statelessHeaders("tools/call\u00a0", "now_add"), 400, -32020},
		{"ForeignSpaceAtTheName", add, statelessHeaders("tools/call", "now_add\u0085"), 400, -32020},
		{"ForeignSpaceAtTheVersion", add, []string{"mcp-session-id", "-", "mcp-protocol-version", "2026-07-28\v", "mcp-method", "tools/call", "mcp-name", "now_add"}, 400, -32020},
		{"MethodCase", add, statelessHeaders("Tools/Call", "now_add"), 400, -32020},
		{"NoName", add, statelessHeaders("tools/call", ""), 400, -32020},
		{"BadBase64", add, statelessHeaders("tools/call", "=?base64?bm9?="), 400, -32020},
		{"UnknownVersion", future, []string{"mcp-protocol-version", "2027-01-01", "mcp-method", "tools/call", "mcp-name", "now_add"}, 400, -32022},
		{"Batch", "[" + add + "]", statelessHeaders("tools/call", "now_add"), 400, -32600},
		{"Response", `{"jsonrpc":"2.0","id":1,"result":{}}`, statelessHeaders("x", ""), 400, -32600},
		{"BadJSON", `{"jsonrpc":`, statelessHeaders("x", ""), 400, -32700},
		{"UnknownTool", stateless("tools/call", `"name":"now_nope"`), statelessHeaders("tools/call", "now_nope"), 200, -32602},
		{"UnknownPrompt", stateless("prompts/get", `"name":"nope"`), statelessHeaders("prompts/get", "nope"), 200, -32602},
		{"UnknownResource", stateless("resources/read", `"uri":"a:b"`), statelessHeaders("resources/read", "a:b"), 200, -32602},
		{"UnknownRef", stateless("completion/complete", `"ref":{"type":"ref/resource","uri":"a:b"}`), statelessHeaders("completion/complete", ""), 200, -32602},
		{"UnknownTask", stateless("tasks/get", `"taskId":"7"`), statelessHeaders("tasks/get", "7"), 200, -32602},
		{"TaskUndeclared", strings.Replace(stateless("tasks/get", `"taskId":"now+7"`), tasksCapability, `"io.modelcontextprotocol/clientCapabilities":{}`, 1), statelessHeaders("tasks/get", "now+7"), 400, -32021},
		{"TaskOfALegacyServer", stateless("tasks/get", `"taskId":"docs+7"`), statelessHeaders("tasks/get", "docs+7"), 200, -32602},
		{"TaskOfAnUnseenServer", stateless("tasks/get", `"taskId":"new+7"`), statelessHeaders("tasks/get", "new+7"), 200, -32603},
		{"NameNoString", stateless("tools/call", `"name":7`), statelessHeaders("tools/call", "7"), 200, -32602},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, d := post(erasGateway(t), tt.body, tt.headers...)
			if d.Action != Reply || d.Status != tt.status || !strings.Contains(string(d.Body), fmt.Sprintf(`"error":{"code":%d,`, tt.code)) || d.Reason == "" {
				t.Errorf("action %v, %d %s (%s)", d.Action, d.Status, d.Body, d.Reason)
			}
		})
	}
}

func TestStatelessResourceNotFoundNamesTheURI(t *testing.T) {
	t.Parallel()
	_, d := post(erasGateway(t), stateless("resources/read", `"uri":"a:b"`), statelessHeaders("resources/read", "a:b")...)
	if want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Resource not found","data":{"uri":"a:b"}}}`; string(d.Body) != want {
		t.Errorf("got  %s\nwant %s", d.Body, want)
	}
}

func TestUnsupportedVersionTellsWhatIsSupported(t *testing.T) {
	t.Parallel()
	body := strings.ReplaceAll(stateless("server/discover", ""), "2026-07-28", "2027-01-01")
	_, d := post(erasGateway(t), body, "mcp-protocol-version", "2027-01-01", "mcp-method", "server/discover")
	want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"unsupported protocol version","data":{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"requested":"2027-01-01"}}}`
	if string(d.Body) != want {
		t.Errorf("got  %s\nwant %s", d.Body, want)
	}
}

func TestStatelessRepeatedHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mcp-method", "mcp-name", "mcp-protocol-version"} {
		s := new(Stream)
		s.Reset(erasGateway(t))
		headers := postHeaders(statelessHeaders("tools/call", "now_add")...)
		for _, h := range headers {
			if h.Name == name {
				headers = append(headers, h)
				break
			}
		}
		s.RequestHeaders(headers, false, second)
		if d := s.RequestBody([]byte(stateless("tools/call", `"name":"now_add"`)), second); d.Status != 400 || !strings.Contains(string(d.Body), "-32020") {
			t.Errorf("%s: %d %s", name, d.Status, d.Body)
		}
	}
}

// The PHP SDK escapes every slash.
func TestStatelessWithEscapedSlashes(t *testing.T) {
	t.Parallel()
	body := strings.ReplaceAll(stateless("resources/read", `"uri":"now+file:///a"`), "/", `\/`)
	s, d := post(erasGateway(t), body, statelessHeaders("resources/read", "now+file:///a")...)
	if s.phase != phaseServer || edits(d)[mcp.HeaderName] != "file:///a" || !strings.Contains(spliced(body, d), `"uri":"file:///a"`) {
		t.Errorf("%d %s, edits %v", d.Status, d.Body, edits(d))
	}
}

// Sessions are nothing to a stateless client, well formed or not.
func TestStatelessIgnoresSessionHeaders(t *testing.T) {
	t.Parallel()
	s := new(Stream)
	s.Reset(erasGateway(t))
	headers := append(postHeaders(statelessHeaders("tools/call", "now_add")...), Header{mcp.HeaderSession, "a"}, Header{mcp.HeaderSession, "b"})
	if d := s.RequestHeaders(headers, false, second); d.Action != NeedBody {
		t.Fatalf("%d %s", d.Status, d.Body)
	}
	if d := s.RequestBody([]byte(stateless("tools/call", `"name":"now_add"`)), second); s.phase != phaseServer || edits(d)[mcp.HeaderSession] != "(removed)" {
		t.Errorf("%d %s", d.Status, d.Body)
	}
}

func TestRepeatedVersionOfARevisionWithSessions(t *testing.T) {
	t.Parallel()
	s := new(Stream)
	s.Reset(erasGateway(t))
	s.RequestHeaders(append(postHeaders(), Header{mcp.HeaderProtocolVersion, "2025-06-18"}), false, second)
	if d := s.RequestBody([]byte(call("search")), second); d.Status != 400 {
		t.Errorf("%d %s", d.Status, d.Body)
	}
}

func TestToBrokerUnchanged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		headers    []string
		long       bool
	}{
		{"Discover", stateless("server/discover", ""), statelessHeaders("server/discover", ""), false},
		{"List", stateless("tools/list", ""), statelessHeaders("tools/list", ""), false},
		{"Initialize", stateless("initialize", ""), statelessHeaders("initialize", ""), false},
		{"Ping", stateless("ping", ""), statelessHeaders("ping", ""), false},
		{"TasksList", stateless("tasks/list", ""), statelessHeaders("tasks/list", ""), false},
		{"Listen", stateless("subscriptions/listen", ""), statelessHeaders("subscriptions/listen", ""), true},
		{"Notification", `{"jsonrpc":"2.0","method":"notifications/x"}`, []string{"mcp-session-id", "-", "mcp-protocol-version", "2026-07-28"}, false},
		{"ToolOfALegacyServer", stateless("tools/call", `"name":"search"`), statelessHeaders("tools/call", "search"), true},
		{"PromptOfALegacyServer", stateless("prompts/get", `"name":"weather_brief"`), statelessHeaders("prompts/get", "weather_brief"), true},
		{"ResourceOfALegacyServer", stateless("resources/read", `"uri":"docs+a:b"`), statelessHeaders("resources/read", "docs+a:b"), true},
		{"CompletionOfALegacyServer", stateless("completion/complete", `"ref":{"type":"ref/prompt","name":"weather_brief"}`), statelessHeaders("completion/complete", ""), true},
		{"ToolOfAnUnseenServer", stateless("tools/call", `"name":"new_x"`), statelessHeaders("tools/call", "new_x"), true},
		{"LegacyTool", call("now_add"), nil, true},
		{"LegacyToolUnlisted", call("early_add"), nil, true},
		{"LegacyPrompt", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"now_brief"}}`, nil, true},
		{"LegacyResource", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"now+a:b"}}`, nil, true},
		{"LegacyCompletion", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"now+a:b"}}}`, nil, true},
		{"LegacyResponse", sealed("s1", `{"jsonrpc":"2.0","id":"now~1","result":{}}`), nil, false},
		{"LegacyProgress", sealed("s1", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"now~1"}}`), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := post(erasGateway(t), tt.body, append(tt.headers, "mcp-param-a", "b")...)
			if d.Action != Pass || s.phase != phaseBroker || d.Splice.Start != d.Splice.End {
				t.Fatalf("action %v, phase %v: %s", d.Action, s.phase, d.Body)
			}
			e := edits(d)
			if (e[mcp.HeaderLong] == "1") != tt.long || d.Reroute != tt.long {
				t.Errorf("edits %v, reroute %v", e, d.Reroute)
			}
			chosen := e[mcp.HeaderCluster] == "mcp-broker"
			delete(e, mcp.HeaderLong)
			delete(e, mcp.HeaderCluster)
			if len(e) != 0 || chosen != tt.long {
				t.Errorf("edits %v", e)
			}
		})
	}
}

// A server may have become another one while nobody called it.
func TestCallBetweenTheErasLooksAtTheTableFirst(t *testing.T) {
	t.Parallel()
	g := erasGateway(t)
	table := erasTable()
	table.Version, table.Servers[1].Modern, table.Servers[1].ModernOnly = "v9", true, true
	next, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	search := stateless("tools/call", `"name":"search"`)
	at := func(now int64) (*Stream, *Decision) {
		s := new(Stream)
		s.Reset(g)
		s.RequestHeaders(postHeaders(statelessHeaders("tools/call", "search")...), false, now)
		return s, s.RequestBody([]byte(search), now)
	}
	g.found(62 * second) // as for calls within the era
	s, d := at(60 * second)
	if d.Action != Ask || d.Question.Path != gatewayconfig.PathTable {
		t.Fatalf("%+v", d)
	}
	if _, d := at(60*second + 1); d.Action != Pass || edits(d)[mcp.HeaderLong] != "1" {
		t.Errorf("every call asks: %+v", d)
	}
	if d = s.Answer(304, nil, 60*second); d.Action != Pass || edits(d)[mcp.HeaderLong] != "1" {
		t.Errorf("nothing new: %+v", d)
	}
	s, _ = at(62 * second)
	if d = s.Answer(200, next, 62*second); s.phase != phaseServer || chosen(edits(d)) != "docs" || edits(d)[mcp.HeaderName] == "" {
		t.Errorf("changed: %+v", d)
	}
}

func TestLegacyClientOfADualServerStaysInline(t *testing.T) {
	t.Parallel()
	s, d := post(erasGateway(t), call("both_add"))
	if e := edits(d); s.phase != phaseServer || e["mcp-session-id"] != "b-both" || e[mcp.HeaderName] != "" {
		t.Errorf("phase %v, edits %v", s.phase, e)
	}
}

func TestNoStatelessGetOrDelete(t *testing.T) {
	t.Parallel()
	for _, headers := range [][]string{
		{":method", "GET"},
		{":method", "DELETE"},
		{":method", "GET", "accept", "application/json"},
		{":method", "GET", "mcp-protocol-version", "-", "mcp-method", "tools/list"},
	} {
		s := new(Stream)
		s.Reset(erasGateway(t))
		d := s.RequestHeaders(postHeaders(append([]string{"mcp-protocol-version", "2026-07-28"}, headers...)...), true, second)
		if d.Status != 405 || edits(d)["allow"] != "POST" {
			t.Errorf("%v: %d %v", headers, d.Status, edits(d))
		}
	}
}

func TestStatelessAtAVirtualServer(t *testing.T) {
	t.Parallel()
	at := func(method, params, name string) (*Stream, *Decision) {
		return post(erasGateway(t), stateless(method, params), statelessHeaders(method, name, ":path", "/mcp/team")...)
	}
	if s, d := at("tools/call", `"name":"now_add"`, "now_add"); s.phase != phaseServer || chosen(edits(d)) != "now" {
		t.Errorf("shown: %d %s", d.Status, d.Body)
	}
	for _, hidden := range [][3]string{
		{"tools/call", `"name":"both_add"`, "both_add"},
		{"tools/call", `"name":"now_größe"`, "=?base64?bm93X2dyw7bDn2U=?="},
		{"tasks/get", `"taskId":"both+1"`, "both+1"},
	} {
		if _, d := at(hidden[0], hidden[1], hidden[2]); d.Status != 200 || !strings.Contains(string(d.Body), "-32602") {
			t.Errorf("%s: %d %s", hidden[1], d.Status, d.Body)
		}
	}
}

func TestStatelessNotes(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Metadata = true
	g := gatewayOf(t, cfg, erasTable())
	justFetched(g)
	g.found(second)
	for _, tt := range []struct{ method, params, name, want string }{
		{"tools/call", `"name":"now_add"`, "now_add", "server=now name=now_add tool=now_add method=tools/call "},
		{"tools/call", `"name":"search"`, "search", "method=tools/call server=docs name=search tool=search "},
		{"tools/list", "", "", "method=tools/list "},
	} {
		_, d := post(g, stateless(tt.method, tt.params), statelessHeaders(tt.method, tt.name)...)
		var got strings.Builder
		for _, n := range d.Notes {
			got.WriteString(n.Key + "=" + string(n.Value) + " ")
		}
		if got.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got.String(), tt.want)
		}
	}
}

// An unlabelled gateway with one server changes neither URIs nor ids of tasks.
func TestStatelessSoleServer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	putTable(t, g, gatewayconfig.Table{Version: "v2", Servers: []gatewayconfig.TableServer{
		{Name: "now", Cluster: "mcp-server-now", Authority: "a:1", Path: "/mcp", Listed: true, Resources: true, Modern: true, ModernOnly: true},
	}})
	for method, params := range map[string]string{"resources/read": `"uri":"a:b"`, "tasks/get": `"taskId":"a:b"`} {
		s, d := post(g, stateless(method, params), statelessHeaders(method, "a:b")...)
		if e := edits(d); s.phase != phaseServer || d.Splice.With != nil || e[mcp.HeaderName] != "" {
			t.Errorf("%s: %+v", method, d)
		}
	}
}
