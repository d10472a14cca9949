// Package publish hands out what the control plane has computed: Envoy's
// resources by xDS, the broker's configuration over HTTP. It decides nothing.
package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/metrics"
)

// everyone is the one group of Envoys: all of a gateway get the same.
const everyone = "all"

type oneGroup struct{}

func (oneGroup) ID(*corev3.Node) string { return everyone }

// Server serves Envoy's resources by ADS, state of the world and delta. Envoys
// that connect before the first Publish wait for it.
type Server struct {
	log     *zap.Logger
	metrics *metrics.Metrics
	cache   cachev3.SnapshotCache
}

// NewServer returns a Server that has nothing to serve yet.
func NewServer(log *zap.Logger, m *metrics.Metrics) *Server {
	return &Server{log: log, metrics: m, cache: cachev3.NewSnapshotCache(true, oneGroup{}, nil)}
}

// Publish replaces all resources. The version of each type is its content's
// hash, so that a type whose resources did not change is not sent again.
func (s *Server) Publish(r *envoyconfig.Resources) error {
	snapshot := new(cachev3.Snapshot)
	for url, messages := range r.ByType() {
		kind := cachev3.GetResponseType(url)
		if kind == types.UnknownType {
			return fmt.Errorf("publish: unknown resource type %s", url)
		}
		version, err := hash(messages)
		if err != nil {
			return err
		}
		resources := make([]types.Resource, len(messages))
		for i, m := range messages {
			resources[i] = m
		}
		snapshot.Resources[kind] = cachev3.NewResources(version, resources)
	}
	if err := s.cache.SetSnapshot(context.Background(), everyone, snapshot); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func hash(messages []proto.Message) (string, error) {
	sum := sha256.New()
	for _, m := range messages {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return "", fmt.Errorf("publish: encode %T: %w", m, err)
		}
		fmt.Fprintf(sum, "%d:", len(b))
		sum.Write(b)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// stopTimeout is how long open streams may take to end.
const stopTimeout = time.Second

// Serve answers Envoys on l until ctx ends, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := grpc.NewServer(
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		// Envoy pings more often than gRPC allows by default.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, serverv3.NewServer(ctx, s.cache, s.callbacks()))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopTimeout, server.Stop)
		defer timer.Stop()
		server.GracefulStop()
	})
	defer stop()
	if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve xds: %w", err)
	}
	return nil
}

// kinds are what metrics call the types of resources.
var kinds = map[string]string{
	envoyconfig.TypeListener: "listener", envoyconfig.TypeRoute: "route", envoyconfig.TypeCluster: "cluster",
	envoyconfig.TypeEndpoint: "endpoint", envoyconfig.TypeExtension: "extension",
}

// callbacks tell what Envoy refuses: otherwise nobody would see that a new
// configuration is not in use.
func (s *Server) callbacks() serverv3.Callbacks {
	refused := func(url, detail string) {
		kind := kinds[url]
		if kind == "" {
			kind = metrics.Other
		}
		s.metrics.Refused(kind)
		s.log.Error("envoy refused its new configuration and keeps the old one",
			zap.String("type", url), zap.String("reason", detail))
	}
	came := func(context.Context, int64, string) error {
		s.metrics.EnvoyCame()
		return nil
	}
	left := func(int64, *corev3.Node) { s.metrics.EnvoyLeft() }
	return serverv3.CallbackFuncs{
		StreamOpenFunc: came, StreamClosedFunc: left, DeltaStreamOpenFunc: came, DeltaStreamClosedFunc: left,
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			if r.GetErrorDetail() != nil {
				refused(r.GetTypeUrl(), r.GetErrorDetail().GetMessage())
			}
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			if r.GetErrorDetail() != nil {
				refused(r.GetTypeUrl(), r.GetErrorDetail().GetMessage())
			}
			return nil
		},
	}
}
