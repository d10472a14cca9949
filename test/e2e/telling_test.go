package e2e

import (
	"strings"
	"testing"
)

// What clients tell servers and servers tell clients besides calls.
func TestClientsAndServersTell(t *testing.T) {
	t.Parallel()
	o := federation(t)
	bySDKs(t, o.URL, map[string]func(*testing.T, string, sdk){
		"completion":    completionReachesItsServer,
		"log level":     levelReachesAllServers,
		"subscription":  subscriptionsAreKept,
		"cancelled":     cancelledCallEnds,
		"unknown names": unknownNamesAreRefused,
	})
}

func completionReachesItsServer(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"completion/complete","ref":{"type":"ref/prompt","name":"everything_completable-prompt"},"argument":{"name":"department","value":"S"}},
		{"do":"completion/complete","ref":{"type":"ref/prompt","name":"everything_completable-prompt"},"argument":{"name":"name","value":""},
		 "context":{"arguments":{"department":"Sales"}}},
		{"do":"completion/complete","ref":{"type":"ref/prompt","name":"py_greet"},"argument":{"name":"name","value":"A"}},
		{"do":"completion/complete","ref":{"type":"ref/resource","uri":"python+note://{name}"},"argument":{"name":"name","value":"B"},
		 "context":{"arguments":{"a":"first","b":"second"}}},
		{"do":"completion/complete","ref":{"type":"ref/resource","uri":"everything+demo://resource/dynamic/text/{resourceId}"},
		 "argument":{"name":"resourceId","value":"7"}},
		{"do":"completion/complete","ref":{"type":"ref/resource","uri":"reference+test://template/{id}/data"},"argument":{"name":"id","value":"1"}}
	]`, `{}`)
	out.want(t, `["Sales","Support"]`, `["David","Eve","Frank"]`, `["prompt","greet","name","A",""]`,
		`["template","note://{name}","name","B","first,second"]`, `["7"]`, `"values":[]`)
}

// Of a server whose name or URI nobody knows, no server is asked.
func unknownNamesAreRefused(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"completion/complete","ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"name","value":""}},
		{"do":"completion/complete","ref":{"type":"ref/resource","uri":"note://{name}"},"argument":{"name":"name","value":""}},
		{"do":"resources/subscribe","uri":"note://a"},
		{"do":"resources/unsubscribe","uri":"nobody+note://a"}
	]`, `{}`)
	out.want(t, "error -32602", "error -32602", "error -32", "error -32")
	for i, s := range out.Steps {
		if strings.Contains(s.text(), "-32601") {
			t.Errorf("step %d: the method is unknown, not the name: %s", i, s.text())
		}
	}
}

// A level holds for servers that were not asked anything before, and for those
// that were.
func levelReachesAllServers(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"logging/setLevel","level":"info"},
		{"do":"tools/call","name":"py_level","arguments":{}},
		{"do":"tools/call","name":"ref_test_tool_with_logging","arguments":{}},
		{"do":"wait","method":"notifications/message","text":"Tool execution completed"},
		{"do":"logging/setLevel","level":"error"},
		{"do":"tools/call","name":"py_level","arguments":{}},
		{"do":"tools/call","name":"ref_test_tool_with_logging","arguments":{}},
		{"do":"logging/setLevel","level":"debug"},
		{"do":"tools/call","name":"py_level","arguments":{}},
		{"do":"tools/call","name":"ref_test_tool_with_logging","arguments":{}}
	]`, `{}`)
	out.want(t, "", "info", "", "", "", "error", "", "", "debug", "")
	// At info and at debug, not at error.
	if n := out.got("notifications/message", "Tool execution started"); n != 2 {
		t.Errorf("%d messages of the same kind, want 2: %s", n, out.Notifications)
	}
}

// The reference server tells of its watched resource every three seconds, the one
// of the Python SDK when it is told to.
func subscriptionsAreKept(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"resources/subscribe","uri":"reference+test://watched-resource"},
		{"do":"resources/subscribe","uri":"python+note://a"},
		{"do":"resources/subscribe","uri":"python+note://b"},
		{"do":"tools/call","name":"py_touch","arguments":{"uri":"note://a"}},
		{"do":"wait","method":"notifications/resources/updated","text":"\"python+note://a\""},
		{"do":"resources/unsubscribe","uri":"python+note://a"},
		{"do":"tools/call","name":"py_touch","arguments":{"uri":"note://a"}},
		{"do":"tools/call","name":"py_touch","arguments":{"uri":"note://b"}},
		{"do":"wait","method":"notifications/resources/updated","text":"\"python+note://b\""},
		{"do":"wait","method":"notifications/resources/updated","text":"\"reference+test://watched-resource\""}
	]`, `{}`)
	out.want(t, "", "", "", "told", "", "", "not subscribed", "told", "", "")
	if n := out.got("notifications/resources/updated", "note://a"); n != 1 {
		t.Errorf("%d changes of note://a, want 1", n)
	}
}

func cancelledCallEnds(t *testing.T, url string, run sdk) {
	name := t.Name()
	out := run(t, url, `[
		{"do":"tools/call","name":"ref_test_simple_text","arguments":{}},
		{"do":"tools/call","name":"py_hang","arguments":{"name":"`+name+`"},"cancel":true},
		{"do":"tools/call","name":"py_was_cancelled","arguments":{"name":"`+name+`"},"until":"true"}
	]`, `{}`)
	out.want(t, "", "error -32001", "true")
}
