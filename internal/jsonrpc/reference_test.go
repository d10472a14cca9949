package jsonrpc_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// The reference says the same as Scan in the plainest way, over a foreign
// parser. It is slow and allocates, and shares no code with the scanner.

var anyNames = jsontext.AllowDuplicateNames(true)

// depthOf returns how deep valid JSON is nested.
func depthOf(text []byte) int {
	d := jsontext.NewDecoder(bytes.NewReader(text), anyNames)
	deepest := 0
	for {
		if _, err := d.ReadToken(); err != nil {
			return deepest
		}
		deepest = max(deepest, d.StackDepth())
	}
}

type refMember struct{ raw, key, value string }

// refMembers returns the members of a valid object.
func refMembers(t *testing.T, object string) []refMember {
	d := jsontext.NewDecoder(strings.NewReader(object), anyNames)
	if _, err := d.ReadToken(); err != nil {
		t.Fatal(err)
	}
	var all []refMember
	for d.PeekKind() != '}' {
		raw, err := d.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		m := refMember{raw: string(raw)}
		key, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		m.key = string(key)
		if raw, err = d.ReadValue(); err != nil {
			t.Fatal(err)
		}
		m.value = string(raw)
		all = append(all, m)
	}
	return all
}

// refGuarded returns the reserved members of an object that has to be clean.
func refGuarded(t *testing.T, object string, reserved ...string) (map[string]string, bool) {
	all := refMembers(t, object)
	found, seen := map[string]string{}, map[string]bool{}
	clean := len(all) <= jsonrpc.MaxKeys
	for _, m := range all {
		clean = clean && !seen[m.key]
		seen[m.key] = true
		for _, name := range reserved {
			if m.raw == `"`+name+`"` || m.raw == `"`+strings.ReplaceAll(name, "/", `\/`)+`"` {
				found[name] = m.value
			} else if strings.EqualFold(m.key, name) {
				clean = false
			}
		}
	}
	return found, clean
}

// reference returns what Scan has to report for valid JSON that is not too deep.
func reference(t *testing.T, text string) (parts, bool) {
	text = strings.Trim(text, " \t\r\n")
	if text[0] == '[' {
		return parts{Kind: "batch"}, true
	}
	if text[0] != '{' {
		return parts{}, false
	}
	top, ok := refGuarded(t, text, "jsonrpc", "id", "method", "params", "result", "error")
	p := parts{ID: top["id"], Method: top["method"], Params: top["params"], Result: top["result"], ErrorOf: top["error"]}
	if p.Params == "null" {
		p.Params = ""
	}
	starts := func(value, with string) bool { return value != "" && strings.Contains(with, value[:1]) }
	ok = ok && top["jsonrpc"] == `"2.0"` && (p.Params == "" || starts(p.Params, "{["))
	id := starts(p.ID, `"-0123456789`)
	switch {
	case p.Method != "":
		p.Kind = "request"
		if p.ID == "" {
			p.Kind = "notification"
		}
		ok = ok && starts(p.Method, `"`) && (id || p.ID == "") && p.Result == "" && p.ErrorOf == ""
	case p.Result != "":
		p.Kind = "response"
		ok = ok && p.ErrorOf == "" && id
	default:
		p.Kind = "response"
		ok = ok && p.ErrorOf != "" && (id || p.ID == "null")
	}
	if starts(p.Params, "{") {
		params, clean := refGuarded(t, p.Params, "name", "uri", "cursor", "ref", "_meta", "protocolVersion", "arguments", "progressToken", "requestId", "taskId")
		ok = ok && clean
		p.Name, p.URI, p.Cursor, p.ProtocolVersion = params["name"], params["uri"], params["cursor"], params["protocolVersion"]
		p.Progress, p.Cancelled, p.TaskID = params["progressToken"], params["requestId"], params["taskId"]
		p.Arguments = params["arguments"]
		p.NameIsString, p.URIIsString = starts(p.Name, `"`), starts(p.URI, `"`)
		if starts(params["_meta"], "{") {
			meta, clean := refGuarded(t, params["_meta"], mcp.MetaProtocolVersion, mcp.MetaClientCapabilities, mcp.MetaClientInfo, mcp.MetaLogLevel, "progressToken")
			ok = ok && clean
			p.MetaVersion = meta[mcp.MetaProtocolVersion]
			if token := meta["progressToken"]; token != "" && strings.ContainsAny(token[:1], `"-0123456789`) {
				p.ProgressToken = token
			}
			p.Capabilities, p.Info, p.LogLevel = meta[mcp.MetaClientCapabilities], meta[mcp.MetaClientInfo], meta[mcp.MetaLogLevel]
		}
		if starts(params["ref"], "{") {
			ref, clean := refGuarded(t, params["ref"], "type", "name", "uri")
			ok = ok && clean
			p.RefType, p.RefName, p.RefURI = ref["type"], ref["name"], ref["uri"]
		}
	}
	return p, ok
}

// checkScan compares Scan with the reference and with encoding/json, the
// parser of most servers written in Go, which folds case and takes the last
// duplicate.
func checkScan(t *testing.T, body []byte) {
	before := slices.Clone(body)
	var m jsonrpc.Message
	err := m.Scan(body)
	if !bytes.Equal(before, body) {
		t.Fatal("body was changed")
	}
	meant := jsonrpc.MeantID(body)
	if err == nil && m.Kind == jsonrpc.Response && string(m.ID.Of(body)) != "null" && !bytes.Equal(meant, m.ID.Of(body)) {
		t.Fatalf("the id of what is one is %s", meant)
	}
	valid := jsontext.Value(body).IsValid(anyNames)
	if err == nil && !(valid && json.Valid(body) && utf8.Valid(body)) {
		t.Fatalf("accepted as %v, but it is not valid JSON", m.Kind)
	}
	if (jsonrpc.Valid(body) == nil) != (valid && depthOf(body) <= jsonrpc.MaxDepth) {
		t.Fatalf("Valid = %v; valid to jsontext: %v", jsonrpc.Valid(body), valid)
	}
	if !valid {
		// An invalid text may be found too deep before it is found invalid.
		if err.Code != mcp.CodeParseError && !strings.Contains(err.Reason, "levels deep") {
			t.Fatalf("code = %d (%v) for invalid JSON", err.Code, err)
		}
		return
	}
	if depthOf(body) > jsonrpc.MaxDepth {
		if err == nil || err.Code != mcp.CodeInvalidRequest {
			t.Fatalf("error = %v for a text that is too deep", err)
		}
		return
	}
	want, ok := reference(t, string(body))
	if ok != (err == nil) {
		t.Fatalf("error = %v, want accepted %v", err, ok)
	}
	if err != nil {
		if err.Code != mcp.CodeInvalidRequest {
			t.Fatalf("code = %d (%v) for valid JSON", err.Code, err)
		}
		return
	}
	if got := partsOf(&m, string(body)); got != want {
		t.Fatalf("message differs\n got %+v\nwant %+v", got, want)
	}
	if m.Kind != jsonrpc.Batch {
		checkStandard(t, body, want)
	}
}

// checkStandard decodes an accepted message with encoding/json.
func checkStandard(t *testing.T, body []byte, want parts) {
	type raw = json.RawMessage
	var top struct{ ID, Method, Params, Result, Error raw }
	if err := json.Unmarshal(body, &top); err != nil {
		t.Fatalf("encoding/json refuses an accepted message: %v", err)
	}
	same := func(member string, got raw, want string) {
		if string(got) != want {
			t.Fatalf("encoding/json reads %s as %s, Scan as %s", member, got, want)
		}
	}
	if string(top.Params) == "null" {
		top.Params = nil
	}
	same("id", top.ID, want.ID)
	same("method", top.Method, want.Method)
	same("params", top.Params, want.Params)
	same("result", top.Result, want.Result)
	same("error", top.Error, want.ErrorOf)
	if !strings.HasPrefix(want.Params, "{") {
		return
	}
	var params struct {
		Name, URI, Cursor, ProtocolVersion, Ref raw
		ProgressToken, RequestID, TaskID        raw
		Arguments                               raw
		Meta                                    raw `json:"_meta"`
	}
	if err := json.Unmarshal(top.Params, &params); err != nil {
		t.Fatal(err)
	}
	same("name", params.Name, want.Name)
	same("uri", params.URI, want.URI)
	same("cursor", params.Cursor, want.Cursor)
	same("protocolVersion", params.ProtocolVersion, want.ProtocolVersion)
	same("params.progressToken", params.ProgressToken, want.Progress)
	same("requestId", params.RequestID, want.Cancelled)
	same("taskId", params.TaskID, want.TaskID)
	same("arguments", params.Arguments, want.Arguments)
	if want.NameIsString {
		var name string
		if err := json.Unmarshal(params.Name, &name); err != nil {
			t.Fatal(err)
		}
		if got, ok := jsonrpc.Unquote(nil, []byte(want.Name)); !ok || string(got) != name {
			t.Fatalf("encoding/json unquotes name as %q, Unquote as %q, %v", name, got, ok)
		}
	}
	if bytes.HasPrefix(params.Meta, []byte("{")) {
		var meta struct {
			Version       raw `json:"io.modelcontextprotocol/protocolVersion"`
			Capabilities  raw `json:"io.modelcontextprotocol/clientCapabilities"`
			Info          raw `json:"io.modelcontextprotocol/clientInfo"`
			LogLevel      raw `json:"io.modelcontextprotocol/logLevel"`
			ProgressToken raw
		}
		if err := json.Unmarshal(params.Meta, &meta); err != nil {
			t.Fatal(err)
		}
		same("_meta version", meta.Version, want.MetaVersion)
		same("_meta capabilities", meta.Capabilities, want.Capabilities)
		same("_meta info", meta.Info, want.Info)
		same("_meta level", meta.LogLevel, want.LogLevel)
		if want.ProgressToken != "" {
			same("progressToken", meta.ProgressToken, want.ProgressToken)
		}
	}
	if bytes.HasPrefix(params.Ref, []byte("{")) {
		var ref struct{ Type, Name, URI raw }
		if err := json.Unmarshal(params.Ref, &ref); err != nil {
			t.Fatal(err)
		}
		same("ref.type", ref.Type, want.RefType)
		same("ref.name", ref.Name, want.RefName)
		same("ref.uri", ref.URI, want.RefURI)
	}
}

// refElements returns the elements of a valid array.
func refElements(t *testing.T, array []byte) []string {
	d := jsontext.NewDecoder(bytes.NewReader(array), anyNames)
	if _, err := d.ReadToken(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for d.PeekKind() != ']' {
		raw, err := d.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	if _, err := d.ReadToken(); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return all
}

// parts is a scanned message in a form to compare: raw tokens.
type parts struct {
	Kind                           string
	ID, Method, Params             string
	Name, URI, Cursor              string
	NameIsString, URIIsString      bool
	RefType, RefName, RefURI       string
	ProtocolVersion, MetaVersion   string
	ProgressToken, Result, ErrorOf string
	Progress, Cancelled, TaskID    string
	Arguments                      string
	Capabilities, Info, LogLevel   string
}

func partsOf(m *jsonrpc.Message, body string) parts {
	of := func(s jsonrpc.Span) string { return string(s.Of([]byte(body))) }
	return parts{
		Kind: m.Kind.String(),
		ID:   of(m.ID), Method: of(m.Method), Params: of(m.Params),
		Name: of(m.Name), URI: of(m.URI), Cursor: of(m.Cursor),
		NameIsString: m.NameIsString, URIIsString: m.URIIsString,
		RefType: of(m.RefType), RefName: of(m.RefName), RefURI: of(m.RefURI),
		ProtocolVersion: of(m.ProtocolVersion), MetaVersion: of(m.MetaVersion),
		ProgressToken: of(m.ProgressToken), Result: of(m.Result), ErrorOf: of(m.Error),
		Progress: of(m.Progress), Cancelled: of(m.Cancelled), TaskID: of(m.TaskID), Arguments: of(m.Arguments),
		Capabilities: of(m.MetaCapabilities), Info: of(m.MetaClientInfo), LogLevel: of(m.MetaLogLevel),
	}
}
