// Package cluster runs a Kubernetes API server for a test: the real one, with the
// real etcd, and nothing else of a cluster. What a controller manager or a kubelet
// would write, the test writes. Only tests import it.
//
// $KUBEAPI names the server; else it is the one that scripts/tools.sh built last.
package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mcp-gateway/test/e2e/harness"
)

// fieldOwner is whom the server takes for the owner of what a test applies.
const fieldOwner = "test"

// Cluster is a running API server, as one user sees it.
type Cluster struct {
	t testing.TB
	// Kubeconfig is the administrator's, whoever the user is.
	Kubeconfig string
	config     *rest.Config
	client     client.Client
}

// Start runs a server until the test ends; its user may do anything.
func Start(t testing.TB) *Cluster {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kubeapi")
	_, port, _ := strings.Cut(harness.FreeAddr(t), ":")
	p := harness.Start(t, "kubeapi", built(t, "KUBEAPI", "kubeapi"), []string{"--dir", dir, "--port", port})
	p.WaitLine(p.Stdout(), "ready ")
	c := &Cluster{t: t, Kubeconfig: filepath.Join(dir, "admin.kubeconfig")}
	var err error
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	// What a test asks is not to wait for itself.
	c.config.QPS = -1
	c.connect()
	return c
}

// Helm is the path of Helm's program.
func Helm(t testing.TB) string {
	t.Helper()
	return built(t, "HELM", "helm")
}

// Kubectl is the path of kubectl.
func Kubectl(t testing.TB) string {
	t.Helper()
	return built(t, "KUBECTL", "kubectl")
}

// Istiod is the path of Istio's control plane.
func Istiod(t testing.TB) string {
	t.Helper()
	return built(t, "ISTIOD", "istiod")
}

// EnvoyGateway is the path of Envoy Gateway's program.
func EnvoyGateway(t testing.TB) string {
	t.Helper()
	return built(t, "ENVOYGATEWAY", "envoygateway")
}

// built is a program that scripts/tools.sh builds, which a variable may name.
func built(t testing.TB, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	found, err := filepath.Glob(filepath.Join(harness.Root(t), ".tools", name, "*", name))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s: run `scripts/tools.sh %[1]s` first, which takes minutes", name)
	}
	newest := found[0]
	for _, path := range found[1:] {
		if modified(t, path) > modified(t, newest) {
			newest = path
		}
	}
	return newest
}

func modified(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().UnixNano()
}

func (c *Cluster) connect() {
	c.t.Helper()
	var err error
	if c.client, err = client.New(c.config, client.Options{}); err != nil {
		c.t.Fatal(err)
	}
}

// As is the same server as another user sees it, who may do what RBAC says.
func (c *Cluster) As(user string, groups ...string) *Cluster {
	c.t.Helper()
	other := *c
	other.config = rest.CopyConfig(c.config)
	other.config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	other.connect()
	return &other
}

// For is the same for a part of the test, which fails if anything goes wrong.
func (c *Cluster) For(t testing.TB) *Cluster {
	part := *c
	part.t = t
	return &part
}

// AccountKubeconfig writes a kubeconfig with a token of a ServiceAccount, as a pod
// of it would have, and returns its path.
func (c *Cluster) AccountKubeconfig(namespace, name string) string {
	c.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{}
	if err := c.client.SubResource("token").Create(c.t.Context(), account, request); err != nil {
		c.t.Fatalf("token of %s/%s: %v", namespace, name, err)
	}
	file := filepath.Join(c.t.TempDir(), fmt.Sprintf("%s.%s.kubeconfig", namespace, name))
	err := clientcmd.WriteToFile(api.Config{
		Clusters:       map[string]*api.Cluster{"test": {Server: c.config.Host, CertificateAuthority: c.config.CAFile}},
		AuthInfos:      map[string]*api.AuthInfo{"account": {Token: request.Status.Token}},
		Contexts:       map[string]*api.Context{"test": {Cluster: "test", AuthInfo: "account"}},
		CurrentContext: "test",
	}, file)
	if err != nil {
		c.t.Fatal(err)
	}
	return file
}
