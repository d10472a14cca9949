// Package publish hands out what the control plane has computed: Envoy's
// resources by xDS, the broker's configuration over HTTP. It decides nothing.
package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
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
	// refusals has what was refused, as far as somebody reads it.
	refusals chan error

	mu sync.Mutex
	// taken has the kinds of resources that Envoys have, by stream.
	taken map[int64]map[string]bool
}

// NewServer returns a Server that has nothing to serve yet.
func NewServer(log *zap.Logger, m *metrics.Metrics) *Server {
	return &Server{log: log, metrics: m, cache: cachev3.NewSnapshotCache(true, oneGroup{}, nil),
		refusals: make(chan error, 1), taken: map[int64]map[string]bool{}}
}

// Refusals has why an Envoy refused what it was sent; while nobody reads only the
// first.
func (s *Server) Refusals() <-chan error { return s.refusals }

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
	came := func(context.Context, int64, string) error {
		s.metrics.EnvoyCame()
		return nil
	}
	left := func(stream int64, _ *corev3.Node) {
		s.metrics.EnvoyLeft()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.taken, stream)
	}
	return serverv3.CallbackFuncs{
		StreamOpenFunc: came, StreamClosedFunc: left, DeltaStreamOpenFunc: came, DeltaStreamClosedFunc: left,
		StreamRequestFunc: func(stream int64, r *discoveryv3.DiscoveryRequest) error {
			s.answered(stream, r.GetTypeUrl(), r.GetVersionInfo() != "", r.GetErrorDetail() != nil, r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamDeltaRequestFunc: func(stream int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			refused := r.GetErrorDetail() != nil
			has := len(r.GetInitialResourceVersions()) > 0 || r.GetResponseNonce() != "" && !refused
			s.answered(stream, r.GetTypeUrl(), has, refused, r.GetErrorDetail().GetMessage())
			return nil
		},
	}
}

// answered takes in what an Envoy says of a type of resources: whether it has some,
// new or old, and whether it refuses the new ones, for what reason.
func (s *Server) answered(stream int64, url string, has, refused bool, reason string) {
	kind := cmp.Or(kinds[url], metrics.Other)
	s.mu.Lock()
	if s.taken[stream] == nil {
		s.taken[stream] = map[string]bool{}
	}
	has = has || s.taken[stream][kind]
	s.taken[stream][kind] = has
	s.mu.Unlock()
	if !refused {
		return
	}
	s.metrics.Refused(kind)
	said := "envoy refused its configuration and has none of this type"
	if has {
		said = "envoy refused its new configuration and keeps the old one"
	}
	s.log.Error(said, zap.String("type", url), zap.String("reason", reason))
	select {
	case s.refusals <- fmt.Errorf("the Envoy refuses its configuration (%s): %s", kind, reason):
	default:
	}
}
