// Package moduletest has what tests give the module to work with: a configuration
// and the table of three servers.
package moduletest

import (
	"encoding/json"

	"mcp-gateway/internal/gatewayconfig"
)

// Static is the configuration of the filter.
const Static = `{"path":"/mcp","bodyLimit":10000,"responseLimit":10000,"internalCluster":"internal","askTimeout":"5s"}`

// Table is a routing table as the broker answers with it, of the servers a, b and c,
// each with a tool that clients know as a_tool, b_tool and c_tool; a and b have
// resources.
func Table() []byte {
	t := gatewayconfig.Table{Version: "1", Tools: map[string]gatewayconfig.Target{}}
	for i, name := range []string{"a", "b", "c"} {
		t.Servers = append(t.Servers, gatewayconfig.TableServer{
			Name: name, Cluster: gatewayconfig.ServerClusters + name, Authority: name, Path: "/mcp", Label: name, Listed: true, Resources: name != "c",
		})
		t.Tools[name+"_tool"] = gatewayconfig.Target{Server: i, Name: "tool"}
	}
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // there is nothing in it that JSON does not have
	}
	return text
}
