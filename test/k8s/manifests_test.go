package k8s

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
)

// settings are what the chart is rendered with: those of the examples, and some more.
func settings(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"as it is": nil,
		"many": {
			"--set", "gateway.spec.sessions.store=Redis,gateway.spec.sessions.redisRef.name=redis,gateway.spec.port=9000",
			"--set", "broker.replicas=3,envoy.autoscaling.enabled=true,broker.autoscaling.enabled=true,envoy.service.type=NodePort,envoy.service.nodePort=30888",
			"--set", "controlPlane.secretNamespaces={team-a},networkPolicy.clients[0].podSelector.matchLabels.a=b,imagePullSecrets[0].name=pull",
			"--set", "pod.nodeSelector.a=b,pod.tolerations[0].operator=Exists,pod.annotations.a=b,pod.priorityClassName=system-cluster-critical",
			"--set-json", `pod.affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}}`,
		},
		"of a Gateway":                    {"--set", "gateway.spec.targetRef.name=g"},
		"of a Gateway with image volumes": {"--set", "gateway.spec.targetRef.name=g,istio.library=ImageVolume"},
		"for others":                      {"--set", "gateway.create=false,gateway.name=other,internalSecret.name=mine,podDisruptionBudget.enabled=false"},
	}
	for _, pattern := range []string{"deploy/helm/examples/*.yaml", "deploy/kind/*/values.yaml"} {
		files, err := filepath.Glob(filepath.Join(harness.Root(t), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			all[file] = []string{"--values", file}
		}
	}
	return all
}

// manifests are all that is handed out for a cluster, by where it is from.
func manifests(t *testing.T) map[string]string {
	t.Helper()
	root, all := harness.Root(t), map[string]string{}
	for name, values := range settings(t) {
		out, err := cluster.RunHelm(t, "", append([]string{"template", "mcp", "mcp-gateway", "--namespace", "infra", "--kube-version", "1.36"}, values...)...)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		all["chart, "+name] = out
	}
	out, err := cluster.RunHelm(t, "", "template", "crds", "mcp-gateway-crds", "--kube-version", "1.36")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	all["chart of the definitions"] = out
	files := kustomized(t, filepath.Join(root, "deploy/kustomize/base"))
	for _, pattern := range []string{"deploy/kind/*.yaml", "deploy/kind/*/*.yaml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if name := filepath.Base(file); name == "values.yaml" || name == "cluster.yaml" {
			continue // Helm's and Kind's
		}
		all[file] = read(t, file)
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(apiVersion: .*?)```").FindAllStringSubmatch(read(t, filepath.Join(root, "docs/kubernetes.md")), -1) {
		all["docs/kubernetes.md: "+block[1]] = block[1]
	}
	return all
}

// kustomized are the files that a kustomization takes, which changes none of them.
func kustomized(t *testing.T, dir string) (files []string) {
	t.Helper()
	var k struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Resources  []string
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, filepath.Join(dir, "kustomization.yaml"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&k); err != nil {
		t.Fatalf("%s has what this test does not know: %v", dir, err)
	}
	for _, r := range k.Resources {
		path := filepath.Join(dir, r)
		if strings.HasSuffix(r, ".yaml") {
			files = append(files, path)
		} else {
			files = append(files, kustomized(t, path)...)
		}
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The API server takes every manifest, strictly: no member that it does not know, no
// value that is none. Pods are what the strictest of its standards wants.
func TestEveryManifest(t *testing.T) {
	t.Parallel()
	c := newCluster(t) // with the definitions: a dry run of an MCPGateway needs them
	all := manifests(t)
	const restricted = "restricted"
	spaces := []string{restricted}
	for _, text := range all {
		for _, u := range c.Objects(text) {
			spaces = append(spaces, u.GetNamespace())
		}
	}
	slices.Sort(spaces)
	for _, space := range slices.Compact(spaces) {
		if space != "" {
			c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + space + "}}")
		}
	}
	c.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + restricted + ", labels: {pod-security.kubernetes.io/enforce: restricted}}}")
	if err := c.DryRun("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: " + restricted + "}, spec: {containers: [{name: c, image: i}]}}"); err == nil || !strings.Contains(err.Error(), "PodSecurity") {
		t.Fatalf("the API server holds pods to no standard: %v", err)
	}
	for name, text := range all {
		if err := c.DryRun(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, u := range c.Objects(text) {
			if u.GetKind() != "Deployment" {
				continue
			}
			if err := c.DryRun(podOf(t, u, restricted)); err != nil {
				t.Errorf("%s: the pods of %s: %v", name, u.GetName(), err)
			}
		}
	}
}

// podOf is the manifest of a pod of a Deployment, in another namespace.
func podOf(t *testing.T, deployment *unstructured.Unstructured, namespace string) string {
	t.Helper()
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName(deployment.GetName())
	pod.SetNamespace(namespace)
	text, err := pod.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The charts are well formed. A value that is misspelt, or none, is refused, and what
// cannot work.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, chart := range []string{"mcp-gateway", "mcp-gateway-crds"} {
		if out, err := cluster.RunHelm(t, "", "lint", "--strict", chart); err != nil {
			t.Errorf("lint %s: %v\n%s", chart, err, out)
		}
	}
	for set, want := range map[string]string{
		"brokr.replicas=2":                        "'brokr' not allowed",
		"broker.replica=2":                        "at '/broker': additional properties 'replica' not allowed",
		"gateway.spec.pathh=/a":                   "at '/gateway/spec': additional properties 'pathh' not allowed",
		"envoy.autoscaling.max=3":                 "at '/envoy/autoscaling': additional properties 'max' not allowed",
		"envoy.service.type=Nodeport":             "at '/envoy/service/type'",
		"controlPlane.replicas=none":              "at '/controlPlane/replicas'",
		"controlPlane.secretNamespaces=a":         "at '/controlPlane/secretNamespaces'",
		"broker.logLevel=loud":                    "at '/broker/logLevel'",
		"istio.library=Copy":                      "at '/istio/library'",
		"networkPolicy.clients[0].podSelctor.a=b": "'podSelctor' not allowed",
	} {
		for _, command := range [][]string{{"template", "mcp", "mcp-gateway"}, {"lint", "mcp-gateway"}} {
			if out, err := cluster.RunHelm(t, "", append(command, "--set", set)...); err == nil || !strings.Contains(out, want) {
				t.Errorf("helm %s with %s: want %s, got %v\n%s", command[0], set, want, err, out)
			}
		}
	}
	// lint takes what a template says of its values for granted.
	if out, err := cluster.RunHelm(t, "", "template", "mcp", "mcp-gateway", "--set", "broker.replicas=2"); err == nil || !strings.Contains(out, "more than one broker wants sessions that all of them know") {
		t.Errorf("two brokers with sessions in memory: %v\n%s", err, out)
	}
	knowsSettings(t)
}

// knowsSettings holds the schema of the values to the settings of a gateway.
func knowsSettings(t *testing.T) {
	t.Helper()
	type properties struct{ Properties map[string]any }
	var schema struct {
		Properties struct {
			Gateway struct{ Properties struct{ Spec properties } }
		}
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPI struct {
						Properties struct{ Spec properties }
					} `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	for file, into := range map[string]any{
		"deploy/helm/mcp-gateway/values.schema.json":             &schema,
		"controlplane/api/crds/mcp-gateway.dev_mcpgateways.yaml": &definition,
	} {
		if err := yaml.Unmarshal([]byte(read(t, filepath.Join(harness.Root(t), file))), into); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.Sorted(maps.Keys(schema.Properties.Gateway.Properties.Spec.Properties))
	want := slices.Sorted(maps.Keys(definition.Spec.Versions[0].Schema.OpenAPI.Properties.Spec.Properties))
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("values.schema.json knows the settings %v of a gateway, there are %v", got, want)
	}
}
