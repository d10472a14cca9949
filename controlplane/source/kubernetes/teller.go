package kubernetes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/internal/gatewayconfig"
)

const (
	// retell is when a status is tried again that could not be written, or is held
	// back.
	retell = 2 * time.Second
	// tellers are how many are written at one time.
	tellers = 8
)

// teller writes what has become of the objects into their status, as the leader. It
// writes only what differs from what is there.
type teller struct {
	client  client.Client
	events  events.EventRecorder
	log     *zap.Logger
	brokers func(ctx context.Context, changed func([]gatewayconfig.Report))
	wake    chan struct{}
	again   chan<- event.GenericEvent

	mu          sync.Mutex
	translation *Translation
	reports     []gatewayconfig.Report
	heard       bool // reports are of the brokers' first round
	history     history

	// Of the loop alone, told but for its workers.
	attacher attacher
	settler  settler
	told     map[types.UID]told
}

// told is what was written into an object last. The object as the cache has it may
// still be the one before.
type told struct {
	status         any
	before, after  string // resource versions
	conditionsThen []metav1.Condition
}

func newTeller(m manager.Manager, c Config, again chan<- event.GenericEvent) *teller {
	return &teller{
		client: m.GetClient(), events: m.GetEventRecorder(name), log: c.Log, brokers: c.Brokers,
		wake: make(chan struct{}, 1), again: again, told: map[types.UID]told{}, attacher: attacher{client: m.GetClient()},
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (t *teller) NeedLeaderElection() bool { return true }

// translated takes the newest translation, and the record of what is served.
func (t *teller) translated(tr *Translation, r record) {
	t.mu.Lock()
	t.translation, t.history = tr, t.history.with(r)
	t.mu.Unlock()
	t.poke()
}

func (t *teller) reported(reports []gatewayconfig.Report) {
	t.mu.Lock()
	t.reports, t.heard = reports, true
	t.mu.Unlock()
	t.poke()
}

func (t *teller) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Start implements manager.Runnable.
func (t *teller) Start(ctx context.Context) error {
	t.log.Info("this replica writes status")
	// What the leader before has written is in the cache, but not in a translation.
	t.mu.Lock()
	t.translation = nil
	t.mu.Unlock()
	select {
	case t.again <- anEvent():
	default: // one is on its way
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { t.brokers(ctx, t.reported) })
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-again.C:
		}
		switch good := t.tellAll(ctx); { // a timer that runs is set anew, too: sooner is no harm
		case !good:
			again.Reset(retell)
		case t.attacher.last != nil:
			again.Reset(reattach)
		}
	}
}

// statement is one object with what is to be said of it.
type statement struct {
	object client.Object
	kind   string
	// is the object's status, with what was said.
	is   any
	said []metav1.Condition
	// status is what it is to be, after the conditions before.
	status func(before []metav1.Condition) (status any, conditions []metav1.Condition)
}

// tellAll writes all that differs, and reports whether that is all for now. Until the
// brokers were asked once nothing is told: a new leader would take back what the one
// before has seen.
func (t *teller) tellAll(ctx context.Context) bool {
	t.mu.Lock()
	tr, heard := t.translation, t.heard
	reports, known := t.reports, append(history{}, t.history...)
	t.mu.Unlock()
	if tr == nil {
		return true
	}
	detached, err := t.attacher.attach(ctx, tr.Attachment, tr.Object)
	if err != nil && ctx.Err() == nil {
		t.log.Warn("the filter is not brought to the Gateway, it is tried again", zap.Error(err))
	}
	attached := err == nil && !t.attacher.waits
	if !heard {
		return attached
	}
	reports, held := t.settler.settle(reports, time.Now())
	statements := tr.statements(&View{Reports: reports, Has: known.has, Detached: detached})
	work := make(chan statement)
	var wg sync.WaitGroup
	var mu sync.Mutex
	good, live := attached, map[types.UID]bool{}
	for range tellers {
		wg.Go(func() {
			for s := range work {
				mu.Lock()
				before, known := t.told[s.object.GetUID()]
				mu.Unlock()
				now, err := t.tell(ctx, s, before, known)
				mu.Lock()
				if err != nil {
					good = false
				} else {
					t.told[s.object.GetUID()] = now
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range statements {
		live[s.object.GetUID()] = true
		work <- s
	}
	close(work)
	wg.Wait()
	for uid := range t.told {
		if !live[uid] {
			delete(t.told, uid)
		}
	}
	return good && !held
}

// statements are those of all objects that the gateway tells of.
func (tr *Translation) statements(v *View) []statement {
	var out []statement
	for i := range tr.Servers {
		s := &tr.Servers[i]
		out = append(out, statement{s.Object, v1alpha1.KindServer, s.Object.Status, s.Object.Status.Conditions,
			func(before []metav1.Condition) (any, []metav1.Condition) {
				status := tr.serverStatus(s, v, before)
				return status, status.Conditions
			}})
	}
	for i := range tr.VirtualServers {
		s := &tr.VirtualServers[i]
		out = append(out, statement{s.Object, v1alpha1.KindVirtualServer, s.Object.Status, s.Object.Status.Conditions,
			func(before []metav1.Condition) (any, []metav1.Condition) {
				status := tr.virtualServerStatus(s, v, before)
				return status, status.Conditions
			}})
	}
	if o := tr.Object; o != nil {
		out = append(out, statement{o, v1alpha1.KindGateway, o.Status, o.Status.Conditions,
			func(before []metav1.Condition) (any, []metav1.Condition) {
				status := tr.gatewayStatus(v, before)
				return status, status.Conditions
			}})
	}
	return out
}

// tell writes one status, if need be.
func (t *teller) tell(ctx context.Context, s statement, last told, known bool) (told, error) {
	version := s.object.GetResourceVersion()
	fresh := !known || version != last.before && version != last.after
	before := s.said
	if known && !fresh {
		before = last.conditionsThen
	}
	want, conditions := s.status(before)
	switch {
	case fresh && equality.Semantic.DeepEqual(want, s.is):
		return told{want, version, version, conditions}, nil
	case !fresh && equality.Semantic.DeepEqual(want, last.status):
		return last, nil
	}
	after, err := t.apply(ctx, s, want)
	switch {
	case apierrors.IsNotFound(err), ctx.Err() != nil:
		return told{want, version, version, conditions}, nil // gone
	case err != nil:
		t.log.Warn("status not written, it is tried again", zap.String("kind", s.kind), zap.Stringer("object", keyOf(s.object)), zap.Error(err))
		return last, err
	}
	t.announce(s, before, conditions)
	return told{want, version, after, conditions}, nil
}

// apply writes the status by server-side apply, and returns the object's new
// version.
func (t *teller) apply(ctx context.Context, s statement, status any) (string, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		Status any `json:"status"`
	}{status})
	if err != nil {
		return "", fmt.Errorf("encode a status: %w", err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(s.kind))
	u.SetNamespace(s.object.GetNamespace())
	u.SetName(s.object.GetName())
	u.SetUID(s.object.GetUID()) // not of another with the same name
	if err := t.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(name), client.ForceOwnership); err != nil {
		return "", err
	}
	return u.GetResourceVersion(), nil
}

// announce makes events of what has changed between true and not.
func (t *teller) announce(s statement, before, now []metav1.Condition) {
	for i := range now {
		c := &now[i]
		if c.Type == v1alpha1.ConditionProgrammed {
			continue // comes and goes with every change
		}
		b := meta.FindStatusCondition(before, c.Type)
		was := b != nil && b.Status == metav1.ConditionTrue
		is := c.Status == metav1.ConditionTrue
		kind := corev1.EventTypeNormal
		switch {
		case b != nil && was == is && b.Reason == c.Reason:
			continue
		case is && c.Type != v1alpha1.ConditionReady && b == nil:
			continue // as it should be
		case !is && quiet[c.Reason]:
			continue
		case !is:
			kind = corev1.EventTypeWarning
		}
		t.events.Eventf(s.object, nil, kind, c.Reason, c.Type, "%s", or(c.Message, c.Type))
	}
}

// quiet are reasons that no one has to look at.
var quiet = map[string]bool{
	v1alpha1.ReasonPending: true, v1alpha1.ReasonConnecting: true, v1alpha1.ReasonNoBroker: true,
	v1alpha1.ReasonNotServed: true, v1alpha1.ReasonDisabled: true, v1alpha1.ReasonInvalid: true,
}
