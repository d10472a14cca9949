package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/test/e2e/harness"
)

// Objects are those of a YAML text.
func (c *Cluster) Objects(manifests string) []*unstructured.Unstructured {
	c.t.Helper()
	var found []*unstructured.Unstructured
	for dec := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096); ; {
		u := &unstructured.Unstructured{}
		err := dec.Decode(&u.Object)
		switch {
		case errors.Is(err, io.EOF):
			return found
		case err != nil:
			c.t.Fatalf("manifest: %v:\n%s", err, manifests)
		case len(u.Object) > 0: // a text may begin with ---
			found = append(found, u)
		}
	}
}

// named tells which object an error is about.
func named(u client.Object) string {
	kind := u.GetObjectKind().GroupVersionKind().Kind
	return strings.TrimPrefix(fmt.Sprintf("%s %s/%s", kind, u.GetNamespace(), u.GetName()), "/")
}

// Apply makes what the manifests say, in their order, by server-side apply.
func (c *Cluster) Apply(manifests string) {
	c.t.Helper()
	if err := c.Try(manifests); err != nil {
		c.t.Fatal(err)
	}
}

// Try is Apply that reports the first failure.
func (c *Cluster) Try(manifests string) error {
	c.t.Helper()
	return c.apply(manifests)
}

// DryRun has the server say whether it would take the manifests, and keep nothing.
func (c *Cluster) DryRun(manifests string) error {
	c.t.Helper()
	return c.apply(manifests, client.DryRunAll)
}

func (c *Cluster) apply(manifests string, options ...client.ApplyOption) error {
	c.t.Helper()
	options = append(options, client.FieldOwner(fieldOwner), client.ForceOwnership)
	for _, u := range c.Objects(manifests) {
		if err := c.client.Apply(c.t.Context(), client.ApplyConfigurationFromUnstructured(u), options...); err != nil {
			return fmt.Errorf("apply %s: %w", named(u), err)
		}
	}
	return nil
}

// Status writes the status that the manifests say, which Apply does not.
func (c *Cluster) Status(manifests string) {
	c.t.Helper()
	for _, u := range c.Objects(manifests) {
		status := &unstructured.Unstructured{Object: map[string]any{"status": u.Object["status"]}}
		text, err := status.MarshalJSON()
		if err == nil {
			err = c.client.Status().Patch(c.t.Context(), u, client.RawPatch("application/merge-patch+json", text))
		}
		if err != nil {
			c.t.Fatalf("status of %s: %v", named(u), err)
		}
	}
}

// Delete removes what the manifests name.
func (c *Cluster) Delete(manifests string) {
	c.t.Helper()
	for _, u := range c.Objects(manifests) {
		if err := c.client.Delete(c.t.Context(), u); err != nil {
			c.t.Fatalf("delete %s: %v", named(u), err)
		}
	}
}

// Read reports why the object that a manifest names cannot be read.
func (c *Cluster) Read(manifest string) error {
	c.t.Helper()
	return c.read(c.Objects(manifest)[0])
}

func (c *Cluster) read(u *unstructured.Unstructured) error {
	return c.client.Get(c.t.Context(), client.ObjectKeyFromObject(u), u)
}

// Get reads the object that a manifest names; nil if there is none.
func (c *Cluster) Get(manifest string) *unstructured.Unstructured {
	c.t.Helper()
	u := c.Objects(manifest)[0]
	switch err := c.read(u); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		c.t.Fatalf("get %s: %v", named(u), err)
	}
	return u
}

// InstallCRDs applies the definitions in the files that match the pattern and waits
// until they can be used.
func (c *Cluster) InstallCRDs(pattern string) {
	c.t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no definitions in %s: %v", pattern, err)
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, u := range c.Objects(string(text)) {
			if u.GetKind() == "CustomResourceDefinition" {
				all = append(all, u)
			}
		}
	}
	for _, u := range all {
		if err := c.client.Apply(c.t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(fieldOwner)); err != nil {
			c.t.Fatalf("apply %s: %v", named(u), err)
		}
	}
	for _, u := range all {
		harness.Eventually(c.t, named(u)+" established", func() bool {
			if err := c.client.Get(c.t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
				return false
			}
			got, ok := condition(u, "Established")
			return ok && got.Status == metav1.ConditionTrue && c.discovers(u)
		})
	}
}

// discovers reports whether the server tells of the kind that a definition defines, in
// all its versions: clients go by that, and it comes a moment later.
func (c *Cluster) discovers(definition *unstructured.Unstructured) bool {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	d, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range versions {
		version := v.(map[string]any)
		if version["served"] != true {
			continue
		}
		found, err := d.ServerResourcesForGroupVersion(fmt.Sprintf("%s/%s", group, version["name"]))
		if err != nil || !slices.ContainsFunc(found.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind }) {
			return false
		}
	}
	return true
}

// Condition is the one of that type in the object that a manifest names; the zero
// condition if it has none.
func (c *Cluster) Condition(manifest, kind string) metav1.Condition {
	c.t.Helper()
	u := c.Get(manifest)
	if u == nil {
		c.t.Fatalf("no such object: %s", manifest)
	}
	found, _ := condition(u, kind)
	return found
}

func condition(u *unstructured.Unstructured, kind string) (metav1.Condition, bool) {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		var found metav1.Condition
		fields, ok := item.(map[string]any)
		if ok && fields["type"] == kind && runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &found) == nil {
			return found, true
		}
	}
	return metav1.Condition{}, false
}

// GatewayAPI matches the files with the definitions of the Gateway API, standard
// channel, of the version that go.mod names.
func GatewayAPI(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("where sigs.k8s.io/gateway-api is: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "config/crd/standard", gatewayv1.GroupName+"_*.yaml")
}
