package file

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/httpfilter"
	"mcp-gateway/internal/gatewayconfig"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testEnv = map[string]string{"API_KEY": "k3y", "BLANK": "", "CAL_HOST": "cal.example.com", "OLD": "false",
	"SESSION_KEY": "hunter2-hunter2-hunter2-hunter2-hunter2"}

func env(name string) (string, bool) {
	v, ok := testEnv[name]
	return v, ok
}

// A case is a file testdata/NAME.in.yaml; NAME.out.txt has the problems and,
// if it was accepted, the gateway.
func TestLoad(t *testing.T) {
	t.Parallel()
	for _, in := range inputFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(in), ".in.yaml"), func(t *testing.T) {
			t.Parallel()
			g, problems := Load(in, env)
			var out strings.Builder
			for _, p := range problems {
				p.File = filepath.Base(p.File)
				fmt.Fprintln(&out, p)
			}
			if (g == nil) != HasErrors(problems) {
				t.Errorf("gateway %v with problems\n%s", g, &out)
			}
			if g != nil {
				dump(&out, *g)
			}
			golden := strings.TrimSuffix(in, ".in.yaml") + ".out.txt"
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func dump(out *strings.Builder, g gateway.Gateway) {
	servers, auth, authorization := g.Servers, g.Auth, g.Authorization
	g.Servers, g.Auth, g.Authorization = nil, nil, nil
	fmt.Fprintf(out, "%+v\n", g)
	if auth != nil {
		fmt.Fprintf(out, "%+v\n", *auth)
	}
	if authorization != nil {
		fmt.Fprintf(out, "%+v\n", *authorization)
	}
	for _, s := range servers {
		oauth, exchange := s.OAuth, s.Exchange
		s.OAuth, s.Exchange = nil, nil
		fmt.Fprintf(out, "%+v\n", s)
		for name, o := range map[string]*gatewayconfig.OAuth{"oauth": oauth, "exchange": exchange} {
			if o != nil {
				fmt.Fprintf(out, " %s: %+v\n", name, *o)
			}
		}
	}
}

func inputFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	return files
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	g, problems := Load(path, env)
	want := []Problem{{File: path, Message: "cannot be read: no such file or directory"}}
	if diff := cmp.Diff(want, problems); diff != "" || g != nil {
		t.Errorf("gateway %v, -want +got\n%s", g, diff)
	}
	if g, problems := Load(t.TempDir(), env); g != nil || !HasErrors(problems) {
		t.Errorf("a folder was read: %v %v", g, problems)
	}
}

func TestProblemsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, in := range inputFiles(t) {
		_, problems := Load(in, env)
		for _, p := range problems {
			for _, secret := range []string{"hunter2", "k3y", "secret-token", "user:secret"} {
				if strings.Contains(p.String(), secret) {
					t.Errorf("%s", p)
				}
			}
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                   "",
		"plain":              "plain",
		"$":                  "$",
		"a$":                 "a$",
		"$$":                 "$",
		"$${API_KEY}":        "${API_KEY}",
		"$API_KEY":           "$API_KEY",
		"${API_KEY}":         "k3y",
		"a${API_KEY}b${OLD}": "ak3ybfalse",
		"$$${API_KEY}":       "$k3y",
	} {
		if got, faults := expand(in, env); got != want || faults != nil {
			t.Errorf("expand(%q) = %q, %v; want %q", in, got, faults, want)
		}
	}
	nested := func(string) (string, bool) { return "${API_KEY}$$", true }
	if got, _ := expand("${X}", nested); got != "${API_KEY}$$" {
		t.Errorf("the value of a variable was expanded: %q", got)
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"0": 0, "1": 1, "7B": 7, "4MiB": 4 << 20, "4 MiB": 4 << 20, "1GiB": 1 << 30, "2KiB": 2048} {
		if got, ok := parseSize(in); got != want || !ok {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "MiB", "4MB", "4mib", "-1", "1.5MiB", "999999999999999999GiB", "4  MiB"} {
		if got, ok := parseSize(in); ok {
			t.Errorf("parseSize(%q) = %d", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"allowedOrigins", "bodyLimit", "host", "listen", "name", "prefix", "url"}
	for in, want := range map[string]string{
		"prefx": "prefix", "Prefix": "prefix", "nmae": "name", "body_limit": "bodyLimit", "body-limit": "bodyLimit",
		"hosts": "host", "lsiten": "listen", "uri": "url", "port": "", "x": "", "": "", strings.Repeat("a", 10000): "",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", in, got, want)
		}
	}
}

// schema compiles the published schema.
func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// accepts reports whether the schema accepts YAML, as an editor would see it.
func accepts(s *jsonschema.Schema, data []byte) error {
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return err
	}
	return s.Validate(v)
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	t.Parallel()
	s := schema(t)
	accepted := 0
	for _, in := range inputFiles(t) {
		data, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := Load(in, env)
		err = accepts(s, data)
		if g != nil {
			accepted++
			if err != nil {
				t.Errorf("%s loads, but: %v", in, err)
			}
		}
	}
	if accepted < 5 {
		t.Errorf("only %d cases load", accepted)
	}
}

// The examples that the repository ships load as they are, without a warning.
func TestExamples(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, path := range []string{"../../../config.example.yaml", "../../../envoy/gateway.yaml"} {
		if _, problems := Load(path, env); problems != nil {
			t.Errorf("%v", problems)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := accepts(s, data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSchemaRefusesWhatItCanSee(t *testing.T) {
	t.Parallel()
	s := schema(t)
	server := "{name: a, url: 'http://a/mcp', "
	for _, data := range []string{
		"{}", "[]", "servers: {}", "servers: [{}]", "servers: [{name: a}]", "{servers: [], x: 1}",
		"servers: [" + server + "prefx: a}]",
		"servers: [" + server + "enabled: maybe}]",
		"servers: [" + server + "timeout: 30}]",
		"servers: [" + server + "headers: {a: {vault: b}}}]",
		"servers: [" + server + "caCert: [pem]}]",
		"servers: [" + server + "tokenURLElicitation: {}}]",
		"{servers: [], limits: {body: 4MB}}",
		"{servers: [], gateway: {pageSize: -1}}",
		"{servers: [], gateway: {partial: most}}",
		"{servers: [], gateway: {sessionless: maybe}}",
		"servers: [" + server + "prefixPolicy: maybe}]",
		"servers: [" + server + "tools: {permit: [a]}}]",
		"servers: [" + server + "prompts: {aliases: [a]}}]",
		"servers: [" + server + "resources: {aliases: {}}}]",
		"{servers: [], virtualServers: [{name: a, tools: [b]}]}",
		"{servers: [], virtualServers: [{}]}",
		"{servers: [], sessions: {lifetime: long}}",
		"{servers: [], sessions: {keys: {env: A}}}",
		"{servers: [], sessions: {redis: {tls: {verify: true}}}}",
		"{servers: [], auth: {}}",
		"{servers: [], auth: {resource: 'https://gw/mcp', issuers: [{issuer: 'https://idp'}]}}",
		"{servers: [], auth: {resource: 'https://gw/mcp', apiKeys: {clients: [{name: a}]}}}",
		"{servers: [], envoyFilters: [{name: a, typed_config: {}}]}",
		"{servers: [], envoyClusters: [{name: a}]}",
		"servers: [" + server + "envoyFilters: {}}]",
	} {
		if err := accepts(s, []byte(data)); err == nil {
			t.Errorf("accepted: %s", data)
		}
	}
}

// Every key that the decoder knows is in the schema, and the reverse.
func TestSchemaHasTheDecodersKeys(t *testing.T) {
	t.Parallel()
	d := &decoder{}
	var g gateway.Gateway
	var s gateway.Server
	var v gateway.VirtualServer
	var text string
	root := schema(t)
	auth := root.Properties["auth"]
	for name, test := range map[string]struct {
		schema *jsonschema.Schema
		keys   fields
	}{
		"top":       {root, d.document(&g)},
		"gateway":   {root.Properties["gateway"], d.gateway(&g)},
		"virtual":   {root.Properties["virtualServers"].AnyOf[0].Items2020.Ref, d.virtualServer(&v)},
		"items":     {root.Properties["servers"].Items2020.Ref.Properties["tools"].Ref, d.itemsFields(&s.Tools)},
		"rules":     {root.Properties["servers"].Items2020.Ref.Properties["resources"].Ref, d.rulesFields(&s.Resources)},
		"sessions":  {root.Properties["sessions"], d.sessions(&g.Sessions)},
		"redis":     {root.Properties["sessions"].Properties["redis"], d.redis(&g.Sessions.Redis)},
		"redis TLS": {root.Properties["sessions"].Properties["redis"].Properties["tls"], d.redisTLS(&g.Sessions.Redis.TLS)},
		"server":    {root.Properties["servers"].Items2020.Ref, d.server(&s, &text)},
		"access":    {root.Properties["authorization"], d.authorization(&gatewayconfig.Authorization{})},
		"rule":      {root.Properties["authorization"].Properties["rules"].Items2020.Ref, d.accessRule(&gatewayconfig.AccessRule{})},
		"auth":      {auth, d.authFields(&gateway.Auth{})},
		"issuer":    {auth.Properties["issuers"].Items2020, d.issuer(&gateway.Issuer{})},
		"jwks":      {auth.Properties["issuers"].Items2020.Properties["jwks"], d.jwks(&gateway.JWKS{})},
		"apiKeys":   {auth.Properties["apiKeys"], d.apiKeys(&gateway.APIKeys{})},
		"keyClient": {auth.Properties["apiKeys"].Properties["clients"].Items2020, d.keyClient(&gateway.KeyClient{})},
		"filter":    {root.Properties["envoyFilters"].Items2020.Ref, d.envoyFilter(new(gateway.EnvoyFilter), httpfilter.Filter)},
		"cluster":   {root.Properties["envoyClusters"].Items2020.Ref, d.envoyCluster(new(gateway.EnvoyCluster))},
		"reference": {root.Properties["servers"].Items2020.Ref.Properties["headers"].AdditionalProperties.(*jsonschema.Schema).Ref.AnyOf[1].Ref, d.referenceFields(&text, &text)},
	} {
		if diff := cmp.Diff(sortedKeys(test.keys), sortedKeys(test.schema.Properties)); diff != "" {
			t.Errorf("%s: -decoder +schema\n%s", name, diff)
		}
		if test.schema.AdditionalProperties != false {
			t.Errorf("%s: the schema admits other keys", name)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// FuzzDecode: no input makes the decoder panic, what it accepts is valid, and
// the schema accepts it too.
func FuzzDecode(f *testing.F) {
	for _, in := range inputFiles(f) {
		data, err := os.ReadFile(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	s := schema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		g, problems := decode("config.yaml", data, env, func(string) ([]byte, error) { return []byte("value\n"), nil })
		if (g == nil) != HasErrors(problems) {
			t.Fatalf("gateway %v with %v", g, problems)
		}
		if g == nil {
			return
		}
		for _, p := range g.Validate() {
			if !p.Warning {
				t.Errorf("accepted, but %s: %s", p.Path, p.Message)
			}
		}
		if err := accepts(s, data); err != nil {
			t.Errorf("accepted, but the schema says: %v", err)
		}
	})
}
