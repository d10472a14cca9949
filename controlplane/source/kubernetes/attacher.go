package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// reattach is after how long it is looked at again whether what was written is still
// there: who has changed it, or removed it, has opened the servers' routes. No watch does
// that: it would fail where nobody has defined the kind.
const reattach = 5 * time.Second

// attachedKinds are those of all objects that an attachment may have.
var attachedKinds = []schema.GroupVersionKind{
	{Group: "networking.istio.io", Version: "v1alpha3", Kind: "EnvoyFilter"},
	kindExtensionPolicy,
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
}

// attacher writes attachments, as the leader.
type attacher struct {
	client client.Client

	last *Attachment // as it was written
	at   time.Time
	said *saying
	// waits for what is not watched: it is to be called again soon.
	waits bool
	// generations are those of the objects as they were written last, by kind.
	generations map[string]int64
}

// attach makes the objects be there, or be gone, and returns what keeps the endpoint
// from being at its Gateway; nil for nothing.
func (a *attacher) attach(ctx context.Context, want *Attachment, m *v1alpha1.MCPGateway) (*saying, error) {
	if want == nil || m == nil || reflect.DeepEqual(want, a.last) && !a.waits && time.Since(a.at) < reattach {
		return a.said, nil
	}
	a.waits = false
	if !reflect.DeepEqual(want, a.last) {
		a.generations = map[string]int64{}
	}
	said, err := a.write(ctx, want, m)
	if err != nil {
		a.last = nil
		fault := no(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNotAttached, "the filter could not be brought to the Gateway: "+short(err))
		return &fault, err
	}
	a.last, a.at, a.said = want, time.Now(), said
	return said, nil
}

// short is an error without what is of no interest in a status.
func short(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func (a *attacher) write(ctx context.Context, want *Attachment, m *v1alpha1.MCPGateway) (*saying, error) {
	if len(want.Objects) == 0 {
		if err := a.remove(ctx, m); err != nil {
			return nil, err
		}
		if want.Impossible == "" {
			return nil, nil
		}
		s := no(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNotAttached, want.Impossible)
		return &s, nil
	}
	missing := want.Missing
	if missing == "" {
		var err error
		if missing, err = a.lack(ctx, want.Proxies); err != nil {
			return nil, err
		}
		a.waits = missing != ""
	}
	var said *saying
	for i, object := range want.Objects {
		u := (&unstructured.Unstructured{Object: object}).DeepCopy()
		kind := u.GetKind()
		there, err := a.there(ctx, u.GroupVersionKind(), keyOf(u), m.UID)
		if err != nil {
			return nil, err
		}
		if missing != "" && i == 0 && there == nil {
			s := no(v1alpha1.ConditionProgrammed, want.Reason, missing)
			return &s, nil
		}
		if there == nil || there.GetGeneration() != a.generations[kind] {
			there = u // as the server has it, once it was written
			if err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(name), client.ForceOwnership); err != nil {
				return nil, fmt.Errorf("apply %s %s: %w", kind, keyOf(u), err)
			}
			a.generations[kind] = u.GetGeneration()
		}
		if there.GroupVersionKind() == kindExtensionPolicy {
			said = a.heard(there)
		}
	}
	if missing != "" {
		// Clients would reach the servers past the gateway if it were taken away.
		s := no(v1alpha1.ConditionProgrammed, want.Reason, missing+"; what was attached before stays")
		return &s, nil
	}
	return said, nil
}

// remove takes away what is there of m.
func (a *attacher) remove(ctx context.Context, m *v1alpha1.MCPGateway) error {
	var errs []error
	for _, kind := range attachedKinds {
		at := key{Namespace: m.Namespace, Name: attachedName(m.Name)}
		there, err := a.there(ctx, kind, at, m.UID)
		switch {
		case errors.Is(err, errForeign), apierrors.IsForbidden(err): // what may not be read was never written
		case err != nil:
			errs = append(errs, err)
		case there != nil:
			if err := a.client.Delete(ctx, there); client.IgnoreNotFound(err) != nil {
				errs = append(errs, fmt.Errorf("delete %s %s: %w", kind.Kind, at, err))
			}
		}
	}
	return errors.Join(errs...)
}

var errForeign = errors.New("there is one of somebody else's")

// there is the object that there is; nil if there is none. One that belongs to somebody
// else than owner is an error.
func (a *attacher) there(ctx context.Context, kind schema.GroupVersionKind, at key, owner types.UID) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	switch err := a.client.Get(ctx, at, u); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case meta.IsNoMatchError(err):
		return nil, nil // to write it is another matter
	case err != nil:
		return nil, fmt.Errorf("get %s %s: %w", kind.Kind, at, err)
	}
	for _, o := range u.GetOwnerReferences() {
		if o.UID == owner {
			return u, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %w", kind.Kind, at, errForeign)
}
