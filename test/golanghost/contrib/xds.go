package main

import (
	"context"
	"fmt"
	"math"
	"net"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"mcp-gateway/test/golanghost"
)

// serve answers Envoy at socket with what the control plane at target says,
// rewritten, until ctx ends.
func serve(ctx context.Context, target, socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("proxy of the control plane: %w", err)
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return fmt.Errorf("proxy of the control plane: %w", err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, &proxy{client: discoveryv3.NewAggregatedDiscoveryServiceClient(conn)})
	go func() { _ = s.Serve(l) }() // ends with the process
	context.AfterFunc(ctx, func() { s.Stop(); _ = conn.Close() })
	return nil
}

type proxy struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	client discoveryv3.AggregatedDiscoveryServiceClient
}

// StreamAggregatedResources implements the service for state of the world.
func (p *proxy) StreamAggregatedResources(envoy grpc.BidiStreamingServer[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]) error {
	control, err := p.client.StreamAggregatedResources(envoy.Context())
	if err != nil {
		return err
	}
	return pump(envoy.Recv, control.Send, control.Recv, envoy.Send)
}

// DeltaAggregatedResources implements it for changes alone.
func (p *proxy) DeltaAggregatedResources(envoy grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]) error {
	control, err := p.client.DeltaAggregatedResources(envoy.Context())
	if err != nil {
		return err
	}
	return pump(envoy.Recv, control.Send, control.Recv, envoy.Send)
}

// pump carries requests to the control plane, and its answers back, rewritten,
// until either side ends.
func pump[Q any, A proto.Message](receive func() (Q, error), ask func(Q) error, hear func() (A, error), answer func(A) error) error {
	ended := make(chan error, 2)
	go func() {
		for {
			q, err := receive()
			if err == nil {
				err = ask(q)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	go func() {
		for {
			a, err := hear()
			if err == nil {
				_, err = golanghost.Rewrite(a)
			}
			if err == nil {
				err = answer(a)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	return <-ended
}
