package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/test/e2e/harness"
)

// A client sees what any of the servers can do, and what the gateway itself does,
// and nothing that only one of them could carry.
func TestCapabilitiesAreTheUnion(t *testing.T) {
	t.Parallel()
	o := others{urls: map[string]string{"weather": harness.Demo(t, "weather"), "everything": harness.Everything(t)}}
	_, o.urls["reference"] = harness.Reference(t, "")
	_, o.urls["python"] = harness.Python(t, "")
	for _, names := range [][]string{{"weather"}, {"weather", "everything"}, {"reference", "python"}, {"weather", "reference", "python", "everything"}} {
		t.Run(strings.Join(names, " "), func(t *testing.T) {
			t.Parallel()
			// Changes of the configuration change every list.
			want := map[string]any{
				"tools": map[string]any{"listChanged": true}, "prompts": map[string]any{"listChanged": true}, "resources": map[string]any{"listChanged": true},
			}
			instructions := ""
			for _, name := range names {
				own := initialized(t, o.urls[name])
				for _, capability := range []string{"logging", "completions"} {
					if value, ok := own.Capabilities[capability]; ok {
						want[capability] = value
					}
				}
				if resources, ok := own.Capabilities["resources"].(map[string]any); ok && resources["subscribe"] == true {
					want["resources"].(map[string]any)["subscribe"] = true
				}
				instructions += own.Instructions
			}
			got := initialized(t, o.behind(t, names...).URL)
			if diff := cmp.Diff(want, got.Capabilities); diff != "" {
				t.Errorf("capabilities (-want +got):\n%s", diff)
			}
			for _, name := range names {
				if own := initialized(t, o.urls[name]); own.Instructions != "" {
					contains(t, "instructions", got.Instructions, strings.TrimSpace(own.Instructions))
				}
			}
			if instructions == "" && got.Instructions != "" {
				t.Errorf("instructions that no server gave: %q", got.Instructions)
			}
		})
	}
}

type initializeResult struct {
	Capabilities map[string]any
	Instructions string
}

// initialized is what an endpoint says of itself.
func initialized(t *testing.T, url string) initializeResult {
	t.Helper()
	reply, err := harness.NewClient(t, url).Initialize().Reply()
	if err != nil {
		t.Fatal(err)
	}
	var r initializeResult
	if err := json.Unmarshal(reply.Result, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
