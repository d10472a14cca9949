package envoytest

import (
	"slices"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// HeaderServer names the cluster that the stand-in routes a request to, see Cluster;
// HeaderHold makes it hold the request's body until all of it is there; HeaderPass
// has it mark the request as one that it has let pass.
const (
	HeaderServer = "x-test-server"
	HeaderHold   = "x-test-hold"
	HeaderPass   = "x-test-pass"
)

const script = `
function envoy_on_request(request)
  if request:headers():get("` + HeaderHold + `") then request:body() end
  local headers = request:headers()
  local server = headers:get("` + HeaderServer + `")
  headers:remove("` + HeaderServer + `")
  headers:remove("` + HeaderHold + `")
  if headers:get("x-mcp-cluster") then
    headers:remove("x-mcp-cluster")
    request:clearRouteCache()
  end
  if server then
    headers:replace("x-mcp-cluster", server)
    request:clearRouteCache()
  end
  if headers:get("` + HeaderPass + `") then
    headers:replace("x-mcp-filter", "test")
    request:clearRouteCache()
  end
end
`

// Cluster is that of one of g's servers, or of one that g does not have.
func Cluster(g *gateway.Gateway, server string) string {
	for i := range g.Servers {
		if g.Servers[i].Name == server {
			return g.Servers[i].Cluster()
		}
	}
	return gatewayconfig.ServerClusters + server
}

// StandIn is the configuration of the Lua filter that stands in for ours.
func StandIn(t testing.TB) *anypb.Any {
	return pack(t, &luav3.Lua{DefaultSourceCode: &corev3.DataSource{
		Specifier: &corev3.DataSource_InlineString{InlineString: script},
	}})
}

// Replace puts the stand-in where the listener has our filter, by whichever
// way it comes, and changes nothing else.
func Replace(t testing.TB, l *listenerv3.Listener) {
	t.Helper()
	filter := l.FilterChains[0].Filters[0]
	var manager hcmv3.HttpConnectionManager
	if err := filter.GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	lua := StandIn(t)
	ours := slices.IndexFunc(manager.HttpFilters, func(f *hcmv3.HttpFilter) bool { return f.Name == "mcp-gateway" })
	if ours < 0 {
		t.Fatal("the listener lacks our filter")
	}
	if found := manager.HttpFilters[ours].GetConfigDiscovery(); found != nil {
		found.TypeUrls = []string{lua.TypeUrl}
	} else {
		manager.HttpFilters[ours].ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: lua}
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, &manager)}
}

func adminAt(socket string) *bootstrapv3.Admin {
	return &bootstrapv3.Admin{Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: socket, Mode: 0o600}}}}
}

func pack(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
