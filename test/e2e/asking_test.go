package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// What a client answers: with what it was asked, so that an answer that reaches
// the wrong call is seen.
const (
	modelAnswer = `"sampling/createMessage":{"result":{"role":"assistant","model":"m","content":{"type":"text","text":"to $TEXT"}}}`
	userAnswer  = `"elicitation/create":{"result":{"action":"accept","content":{"name":"to $TEXT","username":"to $TEXT"}}}`
	rootsAnswer = `"roots/list":{"result":{"roots":[{"uri":"file:///first","name":"first"}]}}`
)

// Servers ask the client, inside calls and on the session's own stream.
func TestServersAskTheClient(t *testing.T) {
	t.Parallel()
	o := federation(t)
	bySDKs(t, o.URL, map[string]func(*testing.T, string, sdk){
		"two servers at once":                 twoServersAsk,
		"roots":                               rootsAreAsked,
		"client refuses":                      clientRefuses,
		"server knows what client can answer": capabilitiesAreDeclared,
	})
}

// Both servers number their requests from the start, and the client answers the
// one that asked last first.
func twoServersAsk(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"together","steps":[
			{"do":"tools/call","name":"ref_test_sampling","arguments":{"prompt":"one"}},
			{"do":"tools/call","name":"py_ask_user","arguments":{"message":"two"}},
			{"do":"tools/call","name":"py_ask_model","arguments":{"prompt":"three \"quoted\" ü"}},
			{"do":"tools/call","name":"ref_test_elicitation","arguments":{"message":"four"}}
		]},
		{"do":"tools/call","name":"ref_test_sampling","arguments":{"prompt":"five"}},
		{"do":"tools/call","name":"py_ask_model","arguments":{"prompt":"six"}}
	]`, `{"atOnce":4,"answers":{`+modelAnswer+`,`+userAnswer+`}}`)
	for i, want := range []string{
		"LLM response: to one", "the user says accept to two", `the model says to three "quoted" ü`, "to four",
	} {
		contains(t, "answer", out.Steps[0].together(t)[i].text(), want)
	}
	out.want(t, "", "LLM response: to five", "the model says to six")
	if len(out.Requests) != 6 {
		t.Errorf("the client got %d requests, want 6: %+v", len(out.Requests), out.Requests)
	}
}

// Two servers of one SDK count the ids of their requests alike; all six requests
// wait for their answers at the same time.
func TestTwinsAskOneClient(t *testing.T) {
	t.Parallel()
	_, a := harness.Python(t, "")
	_, b := harness.Python(t, "")
	g := harness.Run(t, harness.Config{Servers: []harness.Server{{Name: "a", URL: a, Prefix: "a_"}, {Name: "b", URL: b, Prefix: "b_"}}})
	bySDK(t, func(t *testing.T, run sdk) {
		out := run(t, g.URL, `[{"do":"together","steps":[
			{"do":"tools/call","name":"a_ask_user","arguments":{"message":"one"}},
			{"do":"tools/call","name":"b_ask_user","arguments":{"message":"two"}},
			{"do":"tools/call","name":"a_ask_model","arguments":{"prompt":"three"}},
			{"do":"tools/call","name":"b_ask_model","arguments":{"prompt":"four"}},
			{"do":"tools/call","name":"a_ask_roots","arguments":{}},
			{"do":"tools/call","name":"b_ask_roots","arguments":{}}
		]}]`, `{"atOnce":6,"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`)
		for i, want := range []string{"to one", "to two", "to three", "to four", "file:///first", "file:///first"} {
			contains(t, "answer", out.Steps[0].together(t)[i].text(), want)
		}
	})
}

// The Python SDK asks for roots on the session's stream, not on the call's.
func rootsAreAsked(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"tools/call","name":"py_ask_roots","arguments":{}},
		{"do":"roots","roots":[{"uri":"file:///second"},{"uri":"file:///third"}]},
		{"do":"tools/call","name":"py_ask_roots","arguments":{}}
	]`, `{"answers":{`+rootsAnswer+`}}`)
	out.want(t, "roots file:///first", "", "roots file:///second file:///third")
}

// An error is an answer, and the call goes on.
func clientRefuses(t *testing.T, url string, run sdk) {
	out := run(t, url, `[
		{"do":"tools/call","name":"ref_test_sampling","arguments":{"prompt":"x"}},
		{"do":"tools/call","name":"py_ask_model","arguments":{"prompt":"x"}},
		{"do":"tools/call","name":"py_ask_user","arguments":{"message":"x"}},
		{"do":"tools/call","name":"ref_test_elicitation","arguments":{"message":"x"}}
	]`, `{"answers":{"sampling/createMessage":{"error":{"code":-1,"message":"not today"}},"elicitation/create":{"result":{"action":"decline"}}}}`)
	// The Python SDK makes the error its own answer to the call.
	out.want(t, "not today", "error -1: ", "the user says decline", "action=decline")
}

func capabilitiesAreDeclared(t *testing.T, url string, run sdk) {
	const steps = `[{"do":"tools/call","name":"py_capabilities","arguments":{}}]`
	for options, want := range map[string]string{
		`{}`:                                "",
		`{"answers":{` + modelAnswer + `}}`: "sampling",
		`{"answers":{` + modelAnswer + `,` + userAnswer + `,` + rootsAnswer + `}}`: "elicitation roots sampling",
	} {
		out := run(t, url, steps, options)
		var declared map[string]json.RawMessage
		if err := json.Unmarshal([]byte(out.Steps[0].text()), &declared); err != nil {
			t.Fatalf("%s: %v: %s", options, err, out.Steps[0].text())
		}
		var got []string
		for _, name := range []string{"elicitation", "roots", "sampling", "tasks", "experimental"} {
			if _, ok := declared[name]; ok {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the client answers %s; the server was told %v, want %q", options, got, want)
		}
	}
}
