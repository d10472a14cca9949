// Command lib is the library libmcp_gateway_golang.so for Envoy's contrib filter
// envoy.filters.http.golang, built with -buildmode=c-shared. All it does is in
// filter/golang.
package main

import (
	"os"

	"github.com/envoyproxy/envoy/contrib/golang/filters/http/source/go/pkg/http"

	"mcp-gateway/filter/golang"
	"mcp-gateway/internal/gatewayconfig"
)

func main() {}

func init() {
	p := &golang.Plugin{
		Secret:  os.Getenv(gatewayconfig.SecretEnv),
		Workers: func() int { return int(http.EnvoyConcurrency()) },
	}
	http.RegisterHttpFilterFactoryAndConfigParser(golang.Name, p.NewStream, p)
}
