package e2e

import (
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// A server that was killed and started again knows no session; the client does
// not notice, and what it set holds.
func TestRestartedServerGoesOn(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, string) (*harness.Process, string){
		"python": harness.Python, "reference": harness.Reference, "everything": harness.EverythingAt,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := harness.FreeAddr(t)
			first, url := start(t, addr)
			o := others{urls: map[string]string{"weather": harness.Demo(t, "weather"), name: url}}.behind(t, "weather", name)
			c := harness.Connect(t, o.URL)
			listening := c.Listen()
			check := map[string]func(){
				"python": func() {
					contains(t, "level", c.Tool("py_level", ""), "warning")
					contains(t, "touch", c.Tool("py_touch", `{"uri":"note://a"}`), `"told"`)
					listening.Until(`"python+note://a"`)
				},
				"reference": func() {
					contains(t, "text", c.Tool("ref_test_simple_text", ""), "simple text response")
					listening.Until(`"reference+test://watched-resource"`)
				},
				// This one answers 400 for a session that it does not know.
				"everything": func() { contains(t, "echo", c.Tool("everything_echo", `{"message":"x"}`), "Echo: x") },
			}[name]
			c.Request("logging/setLevel", `{"level":"warning"}`)
			for server, uri := range map[string]string{"python": "python+note://a", "reference": "reference+test://watched-resource"} {
				if server == name {
					c.Request("resources/subscribe", `{"uri":"`+uri+`"}`)
				}
			}
			check()
			first.Kill()
			start(t, addr)
			check()
		})
	}
}
