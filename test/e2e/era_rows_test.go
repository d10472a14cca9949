package e2e

import (
	"strings"
	"testing"
)

// eraRow is something that a client wants of a server: the steps for it, and what
// they must have come to.
type eraRow struct {
	name  string
	steps func(p eraPair) []string
	check func(t *testing.T, p eraPair, steps []outcome, all output)
}

var eraRows = []eraRow{
	{
		"list",
		func(eraPair) []string { return []string{`{"do":"tools/list"}`} },
		func(t *testing.T, p eraPair, steps []outcome, all output) {
			for _, tool := range []string{"echo", "add", "fail", "count", "ask_user", "ask_model", "ask_roots", "log", "grow", "touch", "hang"} {
				contains(t, "tools/list", string(steps[0].Result), `"name":"`+p.server.prefix+tool+`"`)
			}
			if want := map[string]string{legacy: "2025-11-25", modern: revisionModern}[p.client.era]; all.Initialize.ProtocolVersion != want {
				t.Errorf("revision %s, want %s", all.Initialize.ProtocolVersion, want)
			}
		},
	},
	row("call", func(p eraPair) string { return p.call("echo", `"text":"`+p.mark()+`"`, "") },
		func(p eraPair) string { return "echo " + p.mark() }),
	row("prompt", func(p eraPair) string {
		return `{"do":"prompts/get","name":"` + p.server.prefix + `greet","arguments":{"name":"` + p.mark() + `"}}`
	}, func(p eraPair) string { return "Say hello to " + p.mark() + "." }),
	row("resource", func(p eraPair) string {
		return `{"do":"resources/read","uri":"` + p.server.name + `+note://` + p.mark() + `"}`
	}, func(p eraPair) string { return "A note of " + p.mark() + "." }),
	{
		"structure",
		func(p eraPair) []string { return []string{p.call("add", `"a":2,"b":40`, "")} },
		func(t *testing.T, _ eraPair, steps []outcome, _ output) {
			contains(t, "answer", strings.ReplaceAll(string(steps[0].Result), " ", ""), `"structuredContent":{"sum":42}`)
			contains(t, "answer", steps[0].text(), "42")
		},
	},
	{
		"error",
		func(p eraPair) []string { return []string{p.call("fail", "", ""), p.call("nope", "", "")} },
		func(t *testing.T, _ eraPair, steps []outcome, _ output) {
			contains(t, "failed call", steps[0].text(), "out of order")
			contains(t, "failed call", string(steps[0].Result), `"isError":true`)
			if e := steps[1].Error; e == nil || e.Code != -32602 || !strings.Contains(e.Message, "nope") {
				t.Errorf("unknown tool: %s", steps[1].text())
			}
		},
	},
	{
		"progress",
		func(p eraPair) []string { return []string{p.call("count", `"to":3`, "")} },
		func(t *testing.T, _ eraPair, steps []outcome, _ output) {
			contains(t, "answer", steps[0].text(), "counted to 3")
			if n := steps[0].Progress; len(n) != 3 || n[2].Progress != 3 || n[2].Total != 3 {
				t.Errorf("progress %v", n)
			}
		},
	},
	row("user", func(p eraPair) string { return p.call("ask_user", `"message":"`+p.mark()+`"`, "") },
		func(p eraPair) string { return "the user says to " + p.mark() }),
	row("model", func(p eraPair) string { return p.call("ask_model", `"prompt":"`+p.mark()+`"`, "") },
		func(p eraPair) string { return "the model says to " + p.mark() }),
	row("roots", func(p eraPair) string { return p.call("ask_roots", "", "") },
		func(eraPair) string { return "roots file:///first" }),
	{
		"log",
		func(p eraPair) []string {
			if p.client.era == modern {
				return []string{p.call("log", `"text":"`+p.mark()+`"`, `,"meta":{"io.modelcontextprotocol/logLevel":"error"}`), `{"do":"wait","method":"notifications/message","text":"` + p.mark() + `"}`}
			}
			return []string{
				`{"do":"logging/setLevel","level":"error"}`,
				p.call("log", `"text":"`+p.mark()+`"`, ""),
				`{"do":"wait","method":"notifications/message","text":"` + p.mark() + `"}`,
			}
		},
		func(t *testing.T, p eraPair, steps []outcome, all output) {
			succeeded(t, steps)
			if bad, good := all.got("notifications/message", p.mark()+" debug"), all.got("notifications/message", p.mark()+" error"); bad != 0 || good != 1 {
				t.Errorf("%d messages below the level, want none; %d at the level, want one", bad, good)
			}
		},
	},
	{
		"changes",
		func(p eraPair) []string {
			steps := []string{
				p.call("grow", `"name":"grown_`+p.mark()+`"`, ""),
				`{"do":"wait","method":"notifications/tools/list_changed"}`,
				`{"do":"tools/list","until":"` + p.server.prefix + "grown_" + p.mark() + `"}`,
				p.call("grown_"+p.mark(), "", ""),
			}
			if p.client.era == modern {
				steps = append([]string{`{"do":"listen","tools":true,"uris":["` + p.server.name + `+note://` + p.mark() + `"]}`}, steps...)
			}
			return steps
		},
		func(t *testing.T, p eraPair, steps []outcome, _ output) {
			succeeded(t, steps)
			if last := steps[len(steps)-1].text(); last != "grown_"+p.mark() {
				t.Errorf("the new tool answers %q", last)
			}
		},
	},
	{
		"updates", // of a resource; a client of the stateless revision listens already
		func(p eraPair) []string {
			uri := "note://" + p.mark()
			steps := []string{
				p.call("touch", `"uri":"`+uri+`"`, ""),
				`{"do":"wait","method":"notifications/resources/updated","text":"` + p.server.name + "+" + uri + `"}`,
			}
			if p.client.era == legacy {
				steps = append([]string{`{"do":"resources/subscribe","uri":"` + p.server.name + "+" + uri + `"}`}, steps...)
			}
			return steps
		},
		func(t *testing.T, _ eraPair, steps []outcome, _ output) { succeeded(t, steps) },
	},
	{
		"cancel",
		func(p eraPair) []string {
			return []string{
				p.call("hang", `"name":"`+p.mark()+`"`, `,"cancel":true`),
				p.call("was_cancelled", `"name":"`+p.mark()+`"`, `,"until":"True"`),
			}
		},
		func(t *testing.T, _ eraPair, steps []outcome, _ output) {
			if steps[0].Error == nil || len(steps[0].Progress) != 1 {
				t.Errorf("the call: %s, progress %v", steps[0].text(), steps[0].Progress)
			}
			contains(t, "answer", steps[1].text(), "cancelled True")
		},
	},
}

// row is one of a single step, whose answer holds some text.
func row(name string, step, want func(p eraPair) string) eraRow {
	return eraRow{
		name,
		func(p eraPair) []string { return []string{step(p)} },
		func(t *testing.T, p eraPair, steps []outcome, _ output) {
			t.Helper()
			succeeded(t, steps)
			contains(t, "answer", string(steps[0].Result), want(p))
		},
	}
}

func succeeded(t *testing.T, steps []outcome) {
	t.Helper()
	for i, s := range steps {
		if s.Error != nil {
			t.Errorf("step %d: %s", i, s.text())
		}
	}
}
