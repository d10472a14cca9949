package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
)

// One endpoint before servers of every era and of four SDKs, which were not made
// for these tests: everything has sessions only, weather is spoken to without any
// and py with them although both know the other way, ref is left to be found.
// Clients of both eras are there at the same time; each sees all tools and
// reaches all servers.
func TestMixedErasBehindOneEndpoint(t *testing.T) {
	t.Parallel()
	_, ref := harness.ReferenceModern(t, "")
	_, py := harness.Python(t, "")
	servers := []harness.Server{
		{Name: "everything", URL: harness.Everything(t), Prefix: "everything_"},
		{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_", Extra: []string{"era: modern"}},
		{Name: "ref", URL: ref, Prefix: "ref_"},
		{Name: "py", URL: py, Prefix: "py_", Extra: []string{"era: legacy"}},
	}
	g := harness.Run(t, harness.Config{Servers: servers})
	eras := map[string]string{"everything": legacy, "weather": modern, "ref": both, "py": legacy}
	for _, s := range g.Status() {
		if s.Era != eras[s.Name] {
			t.Errorf("%s: era %s, want %s", s.Name, s.Era, eras[s.Name])
		}
	}
	want := harness.Connect(t, g.URL).Names("tools/list")
	slices.Sort(want)
	for _, c := range eraClients(t) {
		t.Run(c.era+" "+c.name, func(t *testing.T) {
			t.Parallel()
			want := slices.Clone(want)
			if c.era == modern { // which has no tasks of the kind that this one needs
				want = slices.DeleteFunc(want, func(name string) bool { return name == "everything_simulate-research-query" })
			}
			wantOfAll(t, c, want, c.run(t, g.URL, stepsForAll, `{"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`))
		})
	}
}

const stepsForAll = `[
	{"do":"tools/list"},
	{"do":"tools/call","name":"everything_echo","arguments":{"message":"one"}},
	{"do":"tools/call","name":"weather_get_weather","arguments":{"city":"Lisbon"}},
	{"do":"tools/call","name":"ref_test_simple_text","arguments":{}},
	{"do":"tools/call","name":"py_count","arguments":{"to":2}},
	{"do":"tools/call","name":"everything_trigger-long-running-operation","arguments":{"duration":0.2,"steps":2}},
	{"do":"tools/call","name":"ref_test_tool_with_progress","arguments":{}},
	{"do":"tools/call","name":"everything_trigger-sampling-request","arguments":{"prompt":"three"}},
	{"do":"tools/call","name":"everything_trigger-elicitation-request","arguments":{}},
	{"do":"tools/call","name":"py_ask_user","arguments":{"message":"four"}},
	{"do":"tools/call","name":"py_ask_model","arguments":{"prompt":"five"}},
	{"do":"tools/call","name":"weather_fail","arguments":{"message":"six"}},
	{"do":"tools/call","name":"ref_test_error_handling","arguments":{}},
	{"do":"resources/read","uri":"ref+test://static-text"},
	{"do":"resources/read","uri":"py+note://a"},
	{"do":"prompts/get","name":"everything_args-prompt","arguments":{"city":"Porto"}},
	{"do":"prompts/get","name":"py_greet","arguments":{"name":"Ada"}},
	{"do":"tools/call","name":"py_nope","arguments":{}}
]`

func wantOfAll(t *testing.T, c eraClient, tools []string, out output) {
	t.Helper()
	if want := map[string]string{legacy: harness.Revision, modern: revisionModern}[c.era]; out.Initialize.ProtocolVersion != want {
		t.Errorf("revision %s, want %s", out.Initialize.ProtocolVersion, want)
	}
	var list struct{ Tools []struct{ Name string } }
	if err := json.Unmarshal(out.Steps[0].Result, &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(tools, names); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	for i, want := range []string{
		1: "Echo: one", 2: "Lisbon", 3: "simple text", 4: "counted to 2",
		5: "Long running operation completed", 6: "", 7: "context: three", 8: "to Please", 9: "accept to four", 10: "to five",
		11: "six", 12: "", 13: "", 14: "", 15: "Porto", 16: "Ada",
	} {
		if out.Steps[i].Error != nil {
			t.Errorf("step %d: %s", i, out.Steps[i].text())
		}
		contains(t, "answer", string(out.Steps[i].Result), want)
	}
	for i, n := range map[int]int{4: 2, 5: 2, 6: 3} {
		if got := out.Steps[i].Progress; len(got) != n {
			t.Errorf("step %d: progress %v, want %d", i, got, n)
		}
	}
	for _, i := range []int{11, 12} {
		contains(t, "failed call", string(out.Steps[i].Result), `"isError":true`)
	}
	if e := out.Steps[17].Error; e == nil || e.Code != -32602 {
		t.Errorf("unknown tool: %s", out.Steps[17].text())
	}
}
