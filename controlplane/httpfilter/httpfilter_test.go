package httpfilter_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"mcp-gateway/controlplane/httpfilter"
)

const prefix = httpfilter.Prefix + "envoy.extensions.filters.http."

func TestDecode(t *testing.T) {
	t.Parallel()
	c, _, fault := httpfilter.Filter.Decode(prefix+"ext_authz.v3.ExtAuthz", []byte(`{"http_service":{"server_uri":{"uri":"http://a","cluster":"b","timeout":"1s"}},"grpc_service":{"envoy_grpc":{"cluster_name":"a"}}}`))
	if fault == nil {
		t.Errorf("two services of one: %v", c)
	}
	c, warnings, fault := httpfilter.Filter.Decode(prefix+"ext_authz.v3.ExtAuthz", []byte(`{"http_service":{"server_uri":{"uri":"http://a","cluster":"b","timeout":"1s"}}}`))
	if fault != nil || warnings != nil || c.Filter != c.TypeURL || strings.Join(c.Clusters, " ") != "b" {
		t.Errorf("%+v, %v, %v", c, warnings, fault)
	}
	// Maps have no order, and the bytes are the same each time.
	text := []byte(`{"rules":{"policies":{"a":{"permissions":[{"any":true}],"principals":[{"any":true}]},"b":{"permissions":[{"any":true}],"principals":[{"any":true}]},"c":{"permissions":[{"any":true}],"principals":[{"any":true}]}}}}`)
	first, _, fault := httpfilter.Filter.Decode(prefix+"rbac.v3.RBAC", text)
	if fault != nil {
		t.Fatal(fault)
	}
	for range 20 {
		if again, _, _ := httpfilter.Filter.Decode(prefix+"rbac.v3.RBAC", text); !bytes.Equal(first.Value, again.Value) {
			t.Fatal("equal configurations have other bytes")
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scope      httpfilter.Scope
		url, text  string
		line       int
		says, hide string
	}{
		"unknown type":          {httpfilter.Filter, prefix + "wasm.v3.Wasm", "{}", 0, "known are", ""},
		"a filter for a server": {httpfilter.Route, prefix + "rbac.v3.RBAC", "{}", 0, "rbac.v3.RBACPerRoute", ""},
		"no JSON":               {httpfilter.Filter, prefix + "rbac.v3.RBAC", "{\n\"rules\":", 0, "no valid", ""},
		"unknown field":         {httpfilter.Filter, prefix + "rbac.v3.RBAC", "{\n\"rulez\":{}}", 2, `unknown field "rulez"`, ""},
		"a value":               {httpfilter.Filter, prefix + "rbac.v3.RBAC", "{\"rules\":{\n\"action\":\"hunter2\"}}", 2, "action", "hunter2"},
		"a duration":            {httpfilter.Filter, prefix + "ratelimit.v3.RateLimit", "{\"domain\":\"x\",\n\"timeout\":\"hunter2\"}", 2, "Duration", "hunter2"},
		"a rule of the type":    {httpfilter.Filter, prefix + "ratelimit.v3.RateLimit", "{}", 0, "Domain", ""},
		"another way to a host": {httpfilter.Filter, prefix + "ext_authz.v3.ExtAuthz", `{"grpc_service":{"google_grpc":{"target_uri":"hunter2","stat_prefix":"x"}}}`, 0, "envoyClusters", "hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, fault := tt.scope.Decode(tt.url, []byte(tt.text))
			if fault == nil || fault.Line != tt.line || !strings.Contains(fault.Message, tt.says) || tt.hide != "" && strings.Contains(fault.Message, tt.hide) {
				t.Errorf("%+v", fault)
			}
		})
	}
}

func TestDoubts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "filter_enabled", `,"filter_enabled":{"default_value":{"numerator":100}}`: "filter_enforced",
		`,"filter_enabled":{"default_value":{"numerator":100}},"filter_enforced":{"default_value":{"numerator":100}}`: "",
	} {
		_, warnings, fault := httpfilter.Filter.Decode(prefix+"local_ratelimit.v3.LocalRateLimit", []byte(`{"stat_prefix":"x"`+text+`}`))
		if got := strings.Join(warnings, ""); fault != nil || got == "" != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, %v", text, got, fault)
		}
	}
}

// Every type stands in the documentation, and in the golden case that Envoy itself
// accepts.
func TestTypesAreDocumentedAndTried(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../../docs/envoy-filters.md", "../envoyconfig/testdata/operators-filters.in.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, scope := range []httpfilter.Scope{httpfilter.Filter, httpfilter.Route} {
			if len(scope.Names()) < 9 {
				t.Errorf("only %v", scope.Names())
			}
			for _, name := range scope.Names() {
				if short := strings.TrimPrefix(name, "envoy.extensions.filters.http."); !bytes.Contains(text, []byte(short)) {
					t.Errorf("%s has no %s", path, short)
				}
			}
		}
	}
}
