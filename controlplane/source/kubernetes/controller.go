package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
)

// name is how the controller calls itself to the API server.
const name = "mcp-gateway"

// How many requests the controller may make of the API server a second: the
// client's own default would take half a minute for the first status of 500 servers.
const (
	requestRate  = 200
	requestBurst = 400
)

// gap is the least time between two gateways: of many changes the first counts at
// once and the rest together, as each costs all brokers something.
const gap = 100 * time.Millisecond

// lookAgain is when all is looked at without a change: a status that somebody else has
// written wakes nobody.
const lookAgain = 15 * time.Second

// Config says what to watch, and where the results go.
type Config struct {
	Options
	// REST is how the API server is reached.
	REST *rest.Config
	// Apply makes a gateway what is served, and returns the digest of the brokers'
	// configuration. It is called with what is valid and differs from before, and with
	// when the first change came that led to it.
	Apply func(g *gateway.Gateway, changed time.Time) (digest string, err error)
	// Lack is told why there is no gateway to apply.
	Lack func(why string)
	// Brokers calls changed with what the brokers report, until its context ends.
	Brokers func(ctx context.Context, changed func([]gatewayconfig.Report))
	// LeaseNamespace is where replicas agree on who writes; empty for a single one.
	LeaseNamespace string
	Log            *zap.Logger
}

// scheme has the kinds that are read.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(corev1.AddToScheme(s), discoveryv1.AddToScheme(s),
		gatewayv1.Install(s), gatewayv1beta1.Install(s), v1alpha1.AddToScheme(s))
}

// Run serves the gateway of the API server's objects until ctx ends. Every replica
// serves; the one that holds the lease tells what has become of the objects.
func Run(ctx context.Context, c Config) error {
	s, err := scheme()
	if err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	if !slices.Contains(c.SecretNamespaces, c.Gateway.Namespace) {
		c.SecretNamespaces = append(slices.Clone(c.SecretNamespaces), c.Gateway.Namespace)
	}
	readable := map[string]cache.Config{}
	for _, namespace := range c.SecretNamespaces {
		readable[namespace] = cache.Config{}
	}
	// What the libraries tell of themselves is of interest when it is a fault. One of
	// them knows one log for the whole process.
	logger := zapr.NewLogger(c.Log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))
	klog.SetLogger(logger)
	own := rest.CopyConfig(c.REST)
	own.QPS, own.Burst = requestRate, requestBurst
	// Two controllers in one process have one name in tests only.
	twice := true
	readers := map[client.Object]cache.ByObject{
		&corev1.Secret{}:    {Namespaces: readable},
		&corev1.ConfigMap{}: {Namespaces: readable},
	}
	if c.Attach != nil {
		ofGateways, err := labels.NewRequirement(labelGateway, selection.Exists, nil)
		if err != nil {
			return fmt.Errorf("kubernetes: %w", err)
		}
		readers[&corev1.Pod{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{c.Gateway.Namespace: {}}, Label: labels.NewSelector().Add(*ofGateways),
		}
	}
	m, err := ctrl.NewManager(own, manager.Options{
		Scheme: s,
		Logger: logger,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         readers,
		},
		Metrics:                       server.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		LeaderElection:                c.LeaseNamespace != "",
		LeaderElectionNamespace:       c.LeaseNamespace,
		LeaderElectionID:              name + "-" + c.Gateway.Name,
		LeaderElectionReleaseOnCancel: true,
		Controller:                    config.Controller{SkipNameValidation: &twice},
	})
	if err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	// One event is room enough: what is to be done again is done as a whole.
	again := make(chan event.GenericEvent, 1)
	t := newTeller(m, c, again)
	if err := m.Add(t); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	c.Lack("the cluster's objects are not read yet")
	if err := watch(m, again, &syncer{Config: c, reader: m.GetCache(), tell: t.translated}); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	return nil
}

// Metrics are those of the controller's library, and of the process: rounds, their
// time and errors, the queue, who leads.
func Metrics() metrics.RegistererGatherer { return metrics.Registry }

// watch has every change of any object lead to one and the same request: the
// gateway is made anew as a whole, and what changes together is made once.
func watch(m manager.Manager, again chan event.GenericEvent, s *syncer) error {
	everybody := false
	enqueue := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		s.changed.note(time.Now())
		return []reconcile.Request{{}}
	})
	b := ctrl.NewControllerManagedBy(m).Named(name).WithOptions(controller.Options{NeedLeaderElection: &everybody})
	// Of our own kinds the status is what we write.
	for _, kind := range []client.Object{&v1alpha1.MCPGateway{}, &v1alpha1.MCPServer{}, &v1alpha1.MCPVirtualServer{}} {
		b = b.Watches(kind, enqueue, builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	}
	kinds := []client.Object{
		&gatewayv1.Gateway{}, &gatewayv1.HTTPRoute{}, &gatewayv1beta1.ReferenceGrant{},
		&corev1.Namespace{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &corev1.Secret{}, &corev1.ConfigMap{},
	}
	if s.Attach != nil {
		kinds = append(kinds, &gatewayv1.GatewayClass{}, &corev1.Pod{})
	}
	for _, kind := range kinds {
		b = b.Watches(kind, enqueue)
	}
	// Once at the start, also where there is no object at all.
	again <- anEvent()
	return b.WatchesRawSource(source.Channel(again, enqueue)).Complete(s)
}

func anEvent() event.GenericEvent {
	return event.GenericEvent{Object: &v1alpha1.MCPGateway{}}
}

// syncer makes the gateway of what the caches hold.
type syncer struct {
	Config
	reader client.Reader
	tell   func(*Translation, record)

	changed firstChange
	at      time.Time        // of the last round
	last    *gateway.Gateway // applied
	digest  string
	lacks   bool // that there is no MCPGateway is logged
}

// firstChange is when the first of some changes came.
type firstChange struct {
	mu sync.Mutex
	at time.Time
}

func (f *firstChange) note(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() {
		f.at = at
	}
}

// take returns it, and begins anew; now if there was none.
func (f *firstChange) take(now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.at
	if at.IsZero() {
		at = now
	}
	f.at = time.Time{}
	return at
}

// Reconcile implements reconcile.Reconciler. One runs at a time.
func (s *syncer) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	began := time.Now()
	if early := gap - began.Sub(s.at); early > 0 {
		return reconcile.Result{RequeueAfter: early}, nil
	}
	s.at = began
	changed := s.changed.take(began)
	objects, err := s.read(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	t := Translate(objects, s.Options)
	s.logLack(t)
	if t.Gateway != nil && !same(t.Gateway, s.last) {
		digest, err := s.Apply(t.Gateway, changed)
		if err != nil {
			return reconcile.Result{}, err // kept: what was served before
		}
		s.last, s.digest = t.Gateway, digest
		s.Log.Info("gateway changed", zap.Int("servers", len(t.Gateway.EnabledServers())),
			zap.String("digest", digest), zap.Duration("took", time.Since(began)))
	}
	s.tell(t, recordOf(s.digest, s.last))
	return reconcile.Result{RequeueAfter: lookAgain}, nil
}

func (s *syncer) logLack(t *Translation) {
	switch {
	case t.Object == nil:
		s.Lack("there is no MCPGateway " + s.Gateway.String())
	case t.Gateway == nil:
		s.Lack("the MCPGateway " + s.Gateway.String() + " cannot be served, its status says why")
	}
	switch lacks := t.Object == nil; {
	case lacks && !s.lacks:
		s.Log.Warn("there is no such MCPGateway, so nothing is served anew", zap.Stringer("gateway", s.Gateway))
		s.lacks = true
	case !lacks:
		s.lacks = false
	}
}

// read lists what the caches hold. The objects are theirs: nobody may change them.
func (s *syncer) read(ctx context.Context) (*Objects, error) {
	var (
		gateways  v1alpha1.MCPGatewayList
		servers   v1alpha1.MCPServerList
		virtual   v1alpha1.MCPVirtualServerList
		parents   gatewayv1.GatewayList
		routes    gatewayv1.HTTPRouteList
		grants    gatewayv1beta1.ReferenceGrantList
		spaces    corev1.NamespaceList
		services  corev1.ServiceList
		endpoints discoveryv1.EndpointSliceList
		secrets   corev1.SecretList
		maps      corev1.ConfigMapList
		classes   gatewayv1.GatewayClassList
		pods      corev1.PodList
	)
	lists := []client.ObjectList{&gateways, &servers, &virtual, &parents, &routes, &grants, &spaces, &services, &endpoints, &secrets, &maps}
	if s.Attach != nil {
		lists = append(lists, &classes, &pods)
	}
	for _, list := range lists {
		if err := s.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("read the caches: %w", err)
		}
	}
	return &Objects{
		MCPGateways: gateways.Items, MCPServers: servers.Items, MCPVirtualServers: virtual.Items,
		Gateways: parents.Items, HTTPRoutes: routes.Items, ReferenceGrants: grants.Items,
		Namespaces: spaces.Items, Services: services.Items, EndpointSlices: endpoints.Items,
		Secrets: secrets.Items, ConfigMaps: maps.Items, GatewayClasses: classes.Items, Pods: pods.Items,
	}, nil
}
