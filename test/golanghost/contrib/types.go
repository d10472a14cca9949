package main

// The types of what may be packed in a configuration of the gateway's Envoy.
import (
	_ "github.com/cncf/xds/go/xds/type/v3"
	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/golang/v3alpha"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"

	_ "mcp-gateway/controlplane/envoyconfig"
	_ "mcp-gateway/controlplane/httpfilter"
)
