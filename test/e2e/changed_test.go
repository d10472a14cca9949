package e2e

import (
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// A server whose lists change tells one session; all clients hear of it and see
// the new lists.
func TestChangedListsAreTold(t *testing.T) {
	t.Parallel()
	bySDK(t, func(t *testing.T, run sdk) {
		o := others{urls: map[string]string{"weather": harness.Demo(t, "weather")}}
		_, o.urls["reference"] = harness.Reference(t, "")
		o = o.behind(t, "weather", "reference")
		bystander := harness.Connect(t, o.URL)
		listening := bystander.Listen()
		out := run(t, o.URL, `[
			{"do":"tools/call","name":"ref_test_trigger_tool_change","arguments":{}},
			{"do":"wait","method":"notifications/tools/list_changed"},
			{"do":"tools/list"},
			{"do":"tools/call","name":"ref_test_trigger_prompt_change","arguments":{}},
			{"do":"wait","method":"notifications/prompts/list_changed"},
			{"do":"prompts/list"}
		]`, `{}`)
		out.want(t, "", "", `"ref___transient_tool_`, "", "", `"ref___transient_prompt_for_list_changed"`)
		listening.Until("notifications/tools/list_changed")
		listening.Until("notifications/prompts/list_changed")
		contains(t, "tools", bystander.Request("tools/list", ""), `"ref___transient_tool_`)
	})
}
