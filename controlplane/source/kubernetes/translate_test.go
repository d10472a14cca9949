package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/attach"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/source/file"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var options = Options{Gateway: key{Namespace: "infra", Name: "main"}, SecretNamespaces: []string{"infra", "team-a", "team-b"}, Attach: &AttachOptions{
	Broker:   attach.Service{Name: "broker", Namespace: "infra", Port: 8890, Domain: "cluster.local"},
	Internal: attach.Service{Name: "broker", Namespace: "infra", Port: 8891, Domain: "cluster.local"},
}}

// read decodes the objects of a file, strictly.
func read(t *testing.T, path string) *Objects {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
	docs := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	objects, buffer := &Objects{}, make([]byte, len(text)+1)
	for {
		n, err := docs.Read(buffer)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(buffer[:n]), []byte("---")))) == 0 {
			continue
		}
		o, _, err := decoder.Decode(buffer[:n], nil, nil)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", path, err, buffer[:n])
		}
		objects.add(t, o)
	}
}

func (o *Objects) add(t *testing.T, object runtime.Object) {
	t.Helper()
	switch x := object.(type) {
	case *v1alpha1.MCPGateway:
		o.MCPGateways = append(o.MCPGateways, *x)
	case *v1alpha1.MCPServer:
		o.MCPServers = append(o.MCPServers, *x)
	case *v1alpha1.MCPVirtualServer:
		o.MCPVirtualServers = append(o.MCPVirtualServers, *x)
	case *gatewayv1.Gateway:
		o.Gateways = append(o.Gateways, *x)
	case *gatewayv1.GatewayClass:
		o.GatewayClasses = append(o.GatewayClasses, *x)
	case *corev1.Pod:
		o.Pods = append(o.Pods, *x)
	case *gatewayv1.HTTPRoute:
		o.HTTPRoutes = append(o.HTTPRoutes, *x)
	case *gatewayv1beta1.ReferenceGrant:
		o.ReferenceGrants = append(o.ReferenceGrants, *x)
	case *corev1.Namespace:
		o.Namespaces = append(o.Namespaces, *x)
	case *corev1.Service:
		o.Services = append(o.Services, *x)
	case *discoveryv1.EndpointSlice:
		o.EndpointSlices = append(o.EndpointSlices, *x)
	case *corev1.Secret:
		for name, value := range x.StringData { // as the API server does
			if x.Data == nil {
				x.Data = map[string][]byte{}
			}
			x.Data[name] = []byte(value)
		}
		o.Secrets = append(o.Secrets, *x)
	case *corev1.ConfigMap:
		o.ConfigMaps = append(o.ConfigMaps, *x)
	default:
		t.Fatalf("an object of type %T", object)
	}
}

// text is a translation for people: what is said of each object, and what is served.
func text(t *testing.T, tr *Translation) string {
	t.Helper()
	var out strings.Builder
	say := func(kind string, at key, v *Verdict) {
		fmt.Fprintf(&out, "%s %s\n", kind, at)
		for _, s := range v.sayings() {
			fmt.Fprintf(&out, "  %s %s %s\n", s.kind, s.status, strings.TrimRight(s.reason+" "+s.message, " "))
		}
	}
	if tr.Object != nil {
		say("MCPGateway", keyOf(tr.Object), &tr.Endpoint)
	}
	for i := range tr.Servers {
		say("MCPServer", keyOf(tr.Servers[i].Object), &tr.Servers[i].Verdict)
	}
	for i := range tr.VirtualServers {
		say("MCPVirtualServer", keyOf(tr.VirtualServers[i].Object), &tr.VirtualServers[i].Verdict)
	}
	if tr.Gateway == nil {
		return out.String() + "\nnothing is served\n"
	}
	fmt.Fprintf(&out, "\nlisten %s\nhostnames %v\n", tr.Gateway.Listen, tr.Gateway.Hostnames)
	for _, s := range tr.Gateway.Servers {
		if s.Endpoints != nil {
			fmt.Fprintf(&out, "endpoints of %s %v\n", s.Name, s.Endpoints)
		}
	}
	encoded, err := json.Marshal(tr.Gateway.Broker("test"))
	if err != nil {
		t.Fatal(err)
	}
	var b map[string]any
	if err := json.Unmarshal(encoded, &b); err != nil {
		t.Fatal(err)
	}
	for _, usual := range []string{"limits", "nameLimit", "pageSize", "integrity", "version"} {
		delete(b, usual)
	}
	if encoded, err = json.MarshalIndent(b, "", "  "); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%s\n", encoded)
	if a := tr.Attachment; a != nil && (len(a.Objects) > 0 || a.Impossible != "") {
		fmt.Fprintf(&out, "\nmissing: %s\nimpossible: %s\n", a.Missing, a.Impossible)
		if a.Proxies != nil {
			fmt.Fprintf(&out, "proxies: %v with %s\n", a.Proxies.Keys, a.Proxies.Cluster)
		}
		for _, object := range a.Objects {
			if encoded, err = json.MarshalIndent(object, "", "  "); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s\n", encoded)
		}
	}
	return strings.ReplaceAll(out.String(), ": \n", ":\n")
}

// A case is a file testdata/NAME.in.yaml of objects; NAME.out.txt is what becomes of
// them.
func TestGolden(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(cases) < 5 {
		t.Fatal("no cases in testdata", err)
	}
	for _, in := range cases {
		stem := strings.TrimSuffix(in, ".in.yaml")
		t.Run(filepath.Base(stem), func(t *testing.T) {
			t.Parallel()
			objects := read(t, in)
			got := text(t, Translate(objects, options))
			if *update {
				if err := os.WriteFile(stem+".out.txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(stem + ".out.txt")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			shuffle(objects)
			if again := text(t, Translate(objects, options)); again != got {
				t.Errorf("in another order it is another translation\n%s", cmp.Diff(got, again))
			}
		})
	}
}

func shuffle(o *Objects) {
	r := rand.New(rand.NewPCG(1, 2))
	mix := func(n int, swap func(i, j int)) { r.Shuffle(n, swap) }
	mix(len(o.MCPServers), func(i, j int) { o.MCPServers[i], o.MCPServers[j] = o.MCPServers[j], o.MCPServers[i] })
	mix(len(o.MCPGateways), func(i, j int) { o.MCPGateways[i], o.MCPGateways[j] = o.MCPGateways[j], o.MCPGateways[i] })
	mix(len(o.MCPVirtualServers), func(i, j int) {
		o.MCPVirtualServers[i], o.MCPVirtualServers[j] = o.MCPVirtualServers[j], o.MCPVirtualServers[i]
	})
	mix(len(o.EndpointSlices), func(i, j int) { o.EndpointSlices[i], o.EndpointSlices[j] = o.EndpointSlices[j], o.EndpointSlices[i] })
}

// What a file says and what objects say is one model: testdata/NAME.file.yaml has the
// gateway of NAME.in.yaml.
func TestObjectsGiveTheModelOfAFile(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.file.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	for _, path := range cases {
		want, problems := file.Load(path, func(string) (string, bool) { return "", false })
		if want == nil {
			t.Fatal(problems)
		}
		got := Translate(read(t, strings.TrimSuffix(path, ".file.yaml")+".in.yaml"), options).Gateway
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -file +objects\n%s", path, diff)
		}
	}
}

// A setting that comes to the model comes to the kinds, too, or is named here.
func TestEverySettingCanBeDeclared(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{
		// Programs run where the broker runs, which is for its operator to say.
		"Server.Command": true, "Server.Env": true, "Server.Dir": true, "Server.Process": true, "Server.MaxProcesses": true,
		// Envoy's own filters belong to the Gateway's implementation.
		"Gateway.EnvoyFilters": true, "Gateway.EnvoyClusters": true, "Server.EnvoyFilters": true,
		// Files: of those that are in no cluster.
		"Gateway.Integrity.Pins.File": true, "Gateway.Integrity.Pins.Lock": true, "Gateway.Integrity.Pins.State": true,
		// For trying things out.
		"Gateway.Sessions.Redis.TLS.SkipVerify": true,
		// Of routes, see the other cases.
		"Server.Host": true, "Server.Endpoints": true, "Server.Route": true,
	}
	g := Translate(read(t, "testdata/settings.in.yaml"), options).Gateway
	usual := gateway.Default()
	unset := fieldsAlike(reflect.ValueOf(*g), reflect.ValueOf(usual), "Gateway.")
	plain := reflect.ValueOf(gateway.DefaultServer())
	for field := range fieldsAlike(plain, plain, "Server.") {
		unset[field] = true
		for _, s := range g.Servers {
			if !fieldsAlike(reflect.ValueOf(s), plain, "Server.")[field] {
				delete(unset, field)
			}
		}
	}
	if diff := cmp.Diff(missing, unset); diff != "" {
		t.Errorf("what cannot be declared (-want +got)\n%s", diff)
	}
}

// fieldsAlike are the fields in which two structs are the same, those of structs in
// them included.
func fieldsAlike(a, b reflect.Value, prefix string) map[string]bool {
	out := map[string]bool{}
	for i := range a.NumField() {
		x, y, name := a.Field(i), b.Field(i), prefix+a.Type().Field(i).Name
		if a.Type().Field(i).Anonymous {
			name = strings.TrimSuffix(prefix, ".")
		}
		if x.Kind() == reflect.Pointer && x.Type().Elem().Kind() == reflect.Struct && !x.IsNil() {
			x = x.Elem()
			if y = y.Elem(); !y.IsValid() {
				y = reflect.Zero(x.Type())
			}
		}
		switch {
		case x.Kind() == reflect.Struct:
			maps.Copy(out, fieldsAlike(x, y, name+"."))
		case reflect.DeepEqual(x.Interface(), y.Interface()):
			out[name] = true
		}
	}
	return out
}

// No message of a condition holds a secret, whatever is wrong with it.
func TestNoConditionHoldsASecret(t *testing.T) {
	t.Parallel()
	cases, _ := filepath.Glob("testdata/*.in.yaml")
	seen := 0
	for _, path := range cases {
		objects := read(t, path)
		tr := Translate(objects, options)
		var said strings.Builder
		for _, s := range tr.statements(&View{Has: history{}.has}) {
			_, conditions := s.status(nil)
			for _, c := range conditions {
				said.WriteString(c.Message + "\n")
			}
		}
		for _, s := range objects.Secrets {
			for name, value := range s.Data {
				if seen++; len(value) > 0 && strings.Contains(said.String(), string(value)) {
					t.Errorf("%s: the value of %s of Secret %s is in a message", path, name, s.Name)
				}
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d secrets: this test sees nothing", seen)
	}
}

func TestServerNamesAreTheirOwn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60)
	names := map[string]string{}
	for _, at := range []key{
		{Namespace: "a", Name: "b"}, {Namespace: "a", Name: "b.c"}, {Namespace: "a-b", Name: "c"},
		{Namespace: long, Name: long + "1"}, {Namespace: long, Name: long + "2"},
		{Namespace: "1a", Name: "b"}, {Namespace: "s", Name: "1a.b"}, {Namespace: "s-1a", Name: "b"},
	} {
		name := serverName(at.Namespace, at.Name)
		if other, taken := names[name]; taken || len(name) > maxName || name[0] < 'a' || name[0] > 'z' {
			t.Errorf("%s is called %q, and so is %q", at, name, other)
		}
		names[name] = at.String()
	}
	if got := serverName("team-a", "weather"); got != "team-a.weather" {
		t.Errorf("got %q", got)
	}
}

// What a condition says for the first time has its time from then on.
func TestConditionsKeepTheirTime(t *testing.T) {
	t.Parallel()
	past := metav1.Unix(1000, 0)
	before := []metav1.Condition{
		{Type: "Accepted", Status: metav1.ConditionTrue, LastTransitionTime: past},
		{Type: "Ready", Status: metav1.ConditionFalse, LastTransitionTime: past},
		{Type: "Other", Status: metav1.ConditionTrue, LastTransitionTime: past},
	}
	got := conditions(before, 7, []saying{yes("Accepted", "R", "m"), yes("Ready", "R", "")})
	if len(got) != 2 || !got[0].LastTransitionTime.Equal(&past) || got[1].LastTransitionTime.Equal(&past) || got[0].ObservedGeneration != 7 {
		t.Errorf("got %v", got)
	}
}
