package e2e

import "testing"

// The reference server of the TypeScript SDK shows the tools that ask only to
// sessions that can answer: a list read without capabilities lacks them.
func TestToolsThatNeedACapability(t *testing.T) {
	t.Parallel()
	o := federation(t)
	bySDK(t, func(t *testing.T, run sdk) {
		out := run(t, o.URL, `[
			{"do":"tools/call","name":"everything_trigger-sampling-request","arguments":{"prompt":"one"}},
			{"do":"tools/call","name":"everything_trigger-elicitation-request","arguments":{}},
			{"do":"tools/call","name":"everything_get-roots-list","arguments":{}}
		]`, `{"answers":{`+modelAnswer+`,`+rootsAnswer+`,"elicitation/create":{"result":{"action":"decline"}}}}`)
		out.want(t, "to Resource trigger-sampling-request context: one", "declined", "file:///first")
	})
}
