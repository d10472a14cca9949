package envoygateway

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/netns"
)

// system is Envoy Gateway's namespace, where the proxies' Deployments are, too.
const system = "envoy-gateway-system"

// settings are those of a default installation, but for ports that proxy and control
// plane share here, as one network has both, and for what waits for a kubelet.
const settings = `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider: {type: Kubernetes, kubernetes: {proxyTopologyInjector: {disabled: true}, leaderElection: {disable: true}}}
admin: {address: {host: 127.0.0.1, port: 19100}}
telemetry: {metrics: {prometheus: {disable: true}}}
`

// built is a program of scripts/tools.sh: where the environment says, else the newest.
func built(t *testing.T, env, name string) string {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		return path
	}
	found, err := filepath.Glob(filepath.Join(harness.Root(t), ".tools", name, "*", name))
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s: run `scripts/tools.sh %[1]s` first, which takes minutes", name)
	}
	return found[len(found)-1]
}

// startEnvoyGateway runs Envoy Gateway. It wants its certificates at a path that is
// fixed, so it has a root of its own.
func (w *world) startEnvoyGateway() {
	w.t.Helper()
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + system + "}}")
	// The owner of what it makes for proxies.
	w.Apply("{apiVersion: apps/v1, kind: Deployment, metadata: {name: envoy-gateway, namespace: " + system +
		"}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}")
	program := built(w.t, "ENVOYGATEWAY", "envoygateway")
	env := []string{"KUBECONFIG=" + w.Kubeconfig, "ENVOY_GATEWAY_NAMESPACE=" + system}
	made := harness.Start(w.t, "certgen", program, []string{"certgen", "--disable-topology-injector"}, env...)
	if code := made.ExitCode(harness.Patience); code != 0 {
		w.t.Fatalf("certgen: exit code %d", code)
	}
	root := w.t.TempDir()
	w.secretFiles("envoy-gateway", filepath.Join(root, "certs"))
	w.write(filepath.Join(root, "etc/resolv.conf"), "nameserver 127.0.0.1\n")
	w.write(filepath.Join(root, "settings.yaml"), settings)
	w.write(filepath.Join(root, "tmp/empty"), "")
	config, err := clientcmd.LoadFromFile(w.Kubeconfig)
	if err == nil {
		err = api.FlattenConfig(config)
	}
	if err == nil {
		err = clientcmd.WriteToFile(*config, filepath.Join(root, "kubeconfig"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	inside := filepath.Join(root, "envoygateway")
	w.write(inside, "")
	if err := unix.Mount(program, inside, "", unix.MS_BIND, ""); err != nil {
		w.t.Fatalf("mount %s: %v", inside, err)
	}
	w.t.Cleanup(func() {
		if err := unix.Unmount(inside, unix.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
	})
	chroot, err := exec.LookPath("chroot")
	if err != nil {
		w.t.Fatal(err)
	}
	w.EnvoyGateway = harness.Start(w.t, "envoygateway", chroot, []string{root, "/envoygateway", "server", "--config-path", "/settings.yaml"},
		"KUBECONFIG=/kubeconfig", "ENVOY_GATEWAY_NAMESPACE="+system)
	netns.Name("envoy-gateway."+system+".svc.cluster.local", "127.0.0.1")
}

// secretFiles writes what a Secret holds, as a mount of it would.
func (w *world) secretFiles(name, dir string) {
	w.t.Helper()
	for file, text := range w.secret(system, name) {
		w.write(filepath.Join(dir, file), text)
	}
}

func (w *world) secret(namespace, name string) map[string]string {
	w.t.Helper()
	found := w.Get("{apiVersion: v1, kind: Secret, metadata: {name: " + name + ", namespace: " + namespace + "}}")
	if found == nil {
		w.t.Fatalf("there is no Secret %s/%s", namespace, name)
	}
	out := map[string]string{}
	for key, value := range found.Object["data"].(map[string]any) {
		text, err := base64.StdEncoding.DecodeString(value.(string))
		if err != nil {
			w.t.Fatal(err)
		}
		out[key] = string(text)
	}
	return out
}

func (w *world) write(file, text string) {
	w.t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// proxyName is that of all objects that Envoy Gateway makes for a Gateway's proxy.
func (w *world) proxyName(gateway string) (name string) {
	w.t.Helper()
	harness.Eventually(w.t, "the proxy's Deployment", func() bool {
		for _, found := range w.List("apps/v1", "Deployment", system) {
			if found.GetLabels()["gateway.envoyproxy.io/owning-gateway-name"] == gateway {
				name = found.GetName()
			}
		}
		return name != ""
	})
	return name
}

// startProxy does with the Deployment that Envoy Gateway has made for the Gateway what
// a kubelet does with its pods: it runs the container of Envoy.
func (w *world) startProxy(gateway string) {
	w.t.Helper()
	name := w.proxyName(gateway)
	mounts := w.t.TempDir()
	w.secretFiles("envoy", filepath.Join(mounts, "certs"))
	inPod := strings.NewReplacer("/certs/", mounts+"/certs/", "/sds/", mounts+"/sds/")
	config := w.Get("{apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + ", namespace: " + system + "}}")
	for file, text := range config.Object["data"].(map[string]any) {
		w.write(filepath.Join(mounts, "sds", file), inPod.Replace(text.(string)))
	}
	container := w.container(name)
	env := map[string]string{"ENVOY_POD_NAME": "proxy-0", "ENVOY_POD_NAMESPACE": system, "ENVOY_SERVICE_ZONE": "zone"}
	for _, e := range container.Env {
		switch {
		case e.ValueFrom == nil:
			env[e.Name] = e.Value
		case e.ValueFrom.SecretKeyRef != nil:
			env[e.Name] = w.secret(system, e.ValueFrom.SecretKeyRef.Name)[e.ValueFrom.SecretKeyRef.Key]
		}
	}
	var list []string
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	var args []string
	for _, a := range container.Args {
		args = append(args, inPod.Replace(variable.ReplaceAllStringFunc(a, func(v string) string { return env[v[2:len(v)-1]] })))
	}
	w.Envoy = harness.Start(w.t, "envoy", harness.EnvoyPath(w.t), append(args, "--disable-hot-restart"), list...)
}

var variable = regexp.MustCompile(`\$\([A-Z_]+\)`)

// container is Envoy's, of a Deployment.
func (w *world) container(deployment string) corev1.Container {
	w.t.Helper()
	found := w.Get("{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + deployment + ", namespace: " + system + "}}")
	var d struct {
		Spec struct{ Template corev1.PodTemplateSpec }
	}
	text, err := json.Marshal(found.Object)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name == "envoy" {
			return c
		}
	}
	w.t.Fatalf("Deployment %s has no container of Envoy", deployment)
	return corev1.Container{}
}
