package k8s

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/mcpserver"
)

var update = flag.Bool("update", false, "write deploy/kustomize/base anew")

// What is installed is upgraded, keeps its secret, and leaves what was declared when
// it goes.
func TestChartLives(t *testing.T) {
	t.Parallel()
	c := newBareCluster(t)
	run := func(args ...string) {
		t.Helper()
		if out, err := cluster.RunHelm(t, c.Kubeconfig, args...); err != nil {
			t.Fatalf("helm %v: %v\n%s", args, err, out)
		}
	}
	run("install", "crds", "mcp-gateway-crds")
	run("install", "mcp", "mcp-gateway", "--namespace", "infra", "--create-namespace")
	const secret = "{apiVersion: v1, kind: Secret, metadata: {name: mcp-internal, namespace: infra}}"
	const gateway = "{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPGateway, metadata: {name: mcp, namespace: infra}}"
	before := c.Get(secret).Object["data"].(map[string]any)["secret"]
	run("upgrade", "mcp", "mcp-gateway", "--namespace", "infra", "--set", "envoy.replicas=3")
	if after := c.Get(secret).Object["data"].(map[string]any)["secret"]; after != before {
		t.Error("an upgrade has changed the secret under the pods")
	}
	c.Apply(strings.Replace(server("infra", "a", "targetRef: {name: r}"), "namespace: default}", "namespace: infra}", 1))
	run("uninstall", "mcp", "--namespace", "infra")
	run("uninstall", "crds")
	if c.Get(gateway) != nil {
		t.Error("the gateway outlives its release")
	}
	if c.Get("{apiVersion: mcp-gateway.dev/v1alpha1, kind: MCPServer, metadata: {name: a, namespace: infra}}") == nil {
		t.Error("with the definitions went a server that somebody had declared")
	}
}

// The rights of the chart's ServiceAccount are enough for the control plane, and no
// more.
func TestRights(t *testing.T) {
	secrets := "secrets-" + unique()
	w := newWorldAs(t, ", allowedServers: {namespaces: {from: All}}", func(w *world) string {
		w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + secrets + "}}")
		w.Apply(cluster.Chart(t, "default", "--set", "gateway.create=false", "--set", "controlPlane.secretNamespaces={"+secrets+"}", "--show-only", "templates/rbac.yaml"))
		return w.AccountKubeconfig("default", "mcp-controlplane")
	}, "--secret-namespaces", secrets)
	w.serve(secrets, "docs", mcpserver.Tools("docs", "search"))
	w.Apply(route(secrets, "docs", "docs"))
	w.Apply("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: " + secrets + "}, stringData: {token: Bearer x}}")
	a := server(secrets, "docs", "targetRef: {name: docs}, prefix: docs_, credentialRef: {name: key}")
	w.Apply(a)
	w.Want(a, "Ready=True/Listed")
	harness.Connect(t, w.URL).Tool("docs_search", "")
	harness.Eventually(t, "a leader", func() bool { return w.leader() != "" })
	for _, line := range strings.Split(w.ControlPlanes[0].Stderr().Tail(1000), "\n") {
		if strings.Contains(strings.ToLower(line), "forbidden") {
			t.Errorf("the control plane wants more than it may: %s", line)
		}
	}

	// A secret elsewhere is none of its business, and it says so.
	other := w.namespace("other")
	w.serve(other, "docs", mcpserver.Tools("docs", "search"))
	w.Apply(route(other, "docs", "docs"))
	w.Apply("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: " + other + "}, stringData: {token: Bearer x}}")
	b := server(other, "docs", "targetRef: {name: docs}, prefix: other_, credentialRef: {name: key}")
	w.Apply(b)
	w.Want(b, "ResolvedRefs=False/SecretNotReadable")

	account := w.As("system:serviceaccount:default:mcp-controlplane", "system:serviceaccounts", "system:serviceaccounts:default")
	for what, manifest := range map[string]string{
		"a server":          a,
		"a Secret":          "{apiVersion: v1, kind: Secret, metadata: {name: new, namespace: default}}",
		"a route":           route("default", "r", "s"),
		"a pod":             "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{name: c, image: i}]}}",
		"another lease":     "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: kube, namespace: kube-system}}",
		"a role of its own": "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}}",
	} {
		if err := account.DryRun(manifest); !apierrors.IsForbidden(err) {
			t.Errorf("its account may write %s: %v", what, err)
		}
	}
	if err := account.Read("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: " + other + "}}"); !apierrors.IsForbidden(err) {
		t.Errorf("its account may read a Secret of any namespace: %v", err)
	}
	if err := account.Read("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: " + secrets + "}}"); err != nil {
		t.Errorf("its account may not read a Secret where it was said to: %v", err)
	}
}

// The kustomize base is what the chart makes.
func TestKustomizeBase(t *testing.T) {
	t.Parallel()
	want, err := cluster.RunHelm(t, "", "template", "mcp-gateway", "mcp-gateway", "--namespace", "mcp-gateway", "--kube-version", "1.36", "--set", "internalSecret.name=mcp-gateway-internal")
	if err != nil {
		t.Fatalf("%v\n%s", err, want)
	}
	roles, err := cluster.RunHelm(t, "", "template", "mcp-gateway-crds", "mcp-gateway-crds", "--kube-version", "1.36", "--show-only", "templates/roles.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, roles)
	}
	dir := filepath.Join(harness.Root(t), "deploy/kustomize/base")
	for name, text := range map[string]string{"gateway.yaml": want, "roles.yaml": roles} {
		file := filepath.Join(dir, name)
		text = "# Made of deploy/helm: go test ./test/k8s -run TestKustomizeBase -update\n" + text
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s is not what the chart makes: %v", file, err)
		}
	}
}
