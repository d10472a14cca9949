package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// List reads all objects of a kind, "apps/v1" and "Deployment", in a namespace.
func (c *Cluster) List(apiVersion, kind, namespace string) []unstructured.Unstructured {
	c.t.Helper()
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind+"List"))
	if err := c.client.List(c.t.Context(), found, client.InNamespace(namespace)); err != nil {
		c.t.Fatalf("list %s in %s: %v", kind, namespace, err)
	}
	return found.Items
}
