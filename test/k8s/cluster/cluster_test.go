package cluster

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	route = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: default},
		spec: {hostnames: [a.example], rules: [{backendRefs: [{name: s, port: 80}]}]}}`
	noRoute = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: none, namespace: default},
		spec: {rules: [{filters: [{type: RequestRedirect}]}]}}`
)

// The server is a real one: it checks by definition and by CEL, knows who may do
// what, and keeps a status apart.
func TestServer(t *testing.T) {
	t.Parallel()
	c := Start(t)
	c.InstallCRDs(GatewayAPI(t))

	if err := c.Try(noRoute); err == nil || !strings.Contains(err.Error(), "requestRedirect") {
		t.Errorf("a route without the filter that it names: %v", err)
	}
	if err := c.Try(strings.Replace(route, "hostnames", "hostname", 1)); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
		t.Errorf("an unknown field: %v", err)
	}
	if err := c.DryRun(route); err != nil || c.Get(route) != nil {
		t.Errorf("a dry run: %v, and left %v", err, c.Get(route))
	}
	c.Apply(route)
	c.Status(strings.Replace(route, "spec:", `status: {parents: [{parentRef: {name: g}, controllerName: a.example/b, conditions: [
		{type: Accepted, status: "True", reason: Accepted, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}]}, spec:`, 1))
	if parents := c.Get(route).Object["status"]; parents == nil {
		t.Error("the status was not written")
	}

	viewer := c.As("viewer")
	if err := viewer.Try(route); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights: %v", err)
	}
	c.Apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: routes}
rules: [{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: routes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: routes}
subjects: [{kind: ServiceAccount, namespace: default, name: reader}]
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: default}}
`)
	reader := *c
	var err error
	if reader.config, err = clientcmd.BuildConfigFromFlags("", c.AccountKubeconfig("default", "reader")); err != nil {
		t.Fatal(err)
	}
	reader.connect()
	if reader.Get(route) == nil {
		t.Error("a ServiceAccount does not see what its role shows")
	}
	if err := reader.Try(route); !apierrors.IsForbidden(err) {
		t.Errorf("a ServiceAccount that may read has written: %v", err)
	}

	c.Delete(route)
	if c.Get(route) != nil {
		t.Error("what was deleted is still there")
	}
}
