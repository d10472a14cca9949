package attach

import (
	"strings"
	"testing"
)

// Which EnvoyProxy counts is as Envoy Gateway has it: the Gateway's own, and its class's
// only without that, or merged with it.
func TestProxiesLack(t *testing.T) {
	t.Parallel()
	const cluster = "b.infra.svc.cluster.local"
	listed := []any{Object{"name": "other"}, Object{"name": "mcp-gateway"}}
	bootstrap := Object{"type": "Merge", "value": "static_resources: {clusters: [{name: " + cluster + "}]}"}
	both := Object{"spec": Object{"dynamicModules": listed, "bootstrap": bootstrap}}
	nothing := Object{"spec": Object{}}
	merged := Object{"spec": Object{"mergeType": "StrategicMerge", "dynamicModules": listed}}
	for name, test := range map[string]struct {
		proxies []Object
		want    string
	}{
		"none":                   {nil, "names an EnvoyProxy"},
		"both":                   {[]Object{both}, ""},
		"without a spec":         {[]Object{{}}, "does not list the module mcp-gateway"},
		"another module":         {[]Object{{"spec": Object{"dynamicModules": listed[:1], "bootstrap": bootstrap}}}, "does not list the module mcp-gateway"},
		"no cluster":             {[]Object{{"spec": Object{"dynamicModules": listed}}}, "no cluster " + cluster},
		"the Gateway's counts":   {[]Object{nothing, both}, "does not list"},
		"the class's without":    {[]Object{both, nothing}, ""},
		"merged":                 {[]Object{merged, both}, ""},
		"merged without cluster": {[]Object{merged, nothing}, "no cluster"},
	} {
		got := ProxiesLack(cluster, test.proxies...)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
