package e2e

import (
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// Each server is spoken to as what it is, whatever it is made with.
func TestErasOfPublicServers(t *testing.T) {
	t.Parallel()
	_, python := harness.Python(t, "")
	_, gosdk := harness.Reference(t, "")
	_, stateless := harness.ReferenceModern(t, "")
	weather := harness.Demo(t, "weather")
	var config harness.Config
	want := map[string]string{}
	for _, s := range []struct {
		name, url, era string
		extra          []string
	}{
		{"python", python, both, nil},
		// The Go SDK answers server/discover also where it has sessions only, and
		// there with the revisions that do; without sessions it speaks both.
		{"gosdk", gosdk, legacy, nil},
		{"gosdk-stateless", stateless, both, nil},
		{"mcp-go", weather, both, nil},
		{"everything", harness.Everything(t), legacy, nil},
		{"everything-sse", harness.EverythingSSE(t), legacy, []string{"transport: sse"}},
		{"python-legacy", harness.Eras(t, "python", legacy), legacy, nil},
		{"python-modern", harness.Eras(t, "python", modern), modern, nil},
		{"python-both", harness.Eras(t, "python", both), both, nil},
		{"typescript-legacy", harness.Eras(t, "typescript", legacy), legacy, nil},
		{"typescript-modern", harness.Eras(t, "typescript", modern), modern, nil},
		{"typescript-both", harness.Eras(t, "typescript", both), both, nil},
		{"as-legacy", weather, legacy, []string{"era: legacy"}},
		{"as-modern", weather, modern, []string{"era: modern"}},
	} {
		config.Servers = append(config.Servers, harness.Server{Name: s.name, URL: s.url, Prefix: s.name + "_", Extra: s.extra})
		want[s.name] = s.era
	}
	g := harness.Run(t, config)
	for _, s := range g.Status() {
		if s.Era != want[s.Name] || s.State != "ready" || s.Tools == 0 {
			t.Errorf("%s: %+v, want era %s", s.Name, s, want[s.Name])
		}
		revision := map[bool]string{true: "2025-11-25", false: revisionModern}[want[s.Name] == legacy]
		if s.Name != "everything-sse" && s.Revision != revision {
			t.Errorf("%s: revision %s, want %s", s.Name, s.Revision, revision)
		}
	}
}
