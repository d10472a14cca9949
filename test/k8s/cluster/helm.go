package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// RunHelm runs Helm in the folder of the charts, against the cluster of a kubeconfig if
// there is one, and returns what it printed: its errors too, if it failed.
func RunHelm(t testing.TB, kubeconfig string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), Helm(t), args...)
	c.Dir = filepath.Join(harness.Root(t), "deploy/helm")
	// Nothing of the user's.
	home := t.TempDir()
	c.Env = append(os.Environ(), "HOME="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+kubeconfig)
	var out, errors strings.Builder
	c.Stdout, c.Stderr = &out, &errors
	if err := c.Run(); err != nil {
		return out.String() + errors.String(), err
	}
	return out.String(), nil
}

// Chart is what Helm makes of the chart for a namespace, with these arguments besides.
func Chart(t testing.TB, namespace string, args ...string) string {
	t.Helper()
	out, err := RunHelm(t, "", append([]string{"template", "mcp", "mcp-gateway", "--namespace", namespace, "--kube-version", "1.36"}, args...)...)
	if err != nil {
		t.Fatalf("helm: %v\n%s", err, out)
	}
	return out
}
