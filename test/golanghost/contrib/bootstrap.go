package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"mcp-gateway/test/golanghost"
)

// bootstrap writes the rewritten bootstrap into dir and returns its path.
func bootstrap(ctx context.Context, text []byte, dir string) (string, error) {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, b); err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	if _, err := golanghost.Rewrite(b); err != nil {
		return "", err
	}
	extension, err := golanghost.Extension()
	if err != nil {
		return "", err
	}
	b.BootstrapExtensions = append(b.BootstrapExtensions, extension)
	if err := proxied(ctx, b, filepath.Join(dir, "xds.sock")); err != nil {
		return "", err
	}
	out, err := protojson.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	file := filepath.Join(dir, "envoy.json")
	return file, os.WriteFile(file, out, 0o600)
}

// proxied has Envoy reach its control plane, if it has one, by a proxy at socket.
func proxied(ctx context.Context, b *bootstrapv3.Bootstrap, socket string) error {
	services := b.GetDynamicResources().GetAdsConfig().GetGrpcServices()
	if len(services) == 0 {
		return nil
	}
	name := services[0].GetEnvoyGrpc().GetClusterName()
	for _, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() != name {
			continue
		}
		for _, l := range c.GetLoadAssignment().GetEndpoints() {
			for _, e := range l.GetLbEndpoints() {
				address := e.GetEndpoint().GetAddress()
				target, err := target(address)
				if err != nil {
					return err
				}
				address.Address = &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: socket}}
				// A name is not looked up any more: Envoy would wait for its addresses.
				c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
				return serve(ctx, target, socket)
			}
		}
	}
	return fmt.Errorf("no endpoint of the control plane %q", name)
}

// target is an address as gRPC wants it.
func target(a *corev3.Address) (string, error) {
	if path := a.GetPipe().GetPath(); path != "" {
		return "unix:" + path, nil
	}
	s := a.GetSocketAddress()
	if s == nil {
		return "", fmt.Errorf("control plane: no address that can be proxied: %v", a)
	}
	return net.JoinHostPort(s.GetAddress(), strconv.Itoa(int(s.GetPortValue()))), nil
}
