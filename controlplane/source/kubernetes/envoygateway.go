package kubernetes

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
	"mcp-gateway/controlplane/attach"
)

var (
	kindEnvoyProxy      = schema.GroupVersionKind{Group: attach.EnvoyGatewayGroup, Version: attach.EnvoyGatewayVersion, Kind: attach.KindEnvoyProxy}
	kindExtensionPolicy = schema.GroupVersionKind{Group: attach.EnvoyGatewayGroup, Version: attach.EnvoyGatewayVersion, Kind: attach.KindExtensionPolicy}
)

// Proxies are the EnvoyProxies of a Gateway, and the cluster that they are to have. They
// are read when the attachment is written, not watched: they are of a kind that most
// clusters do not have.
type Proxies struct {
	// Keys are of the Gateway's own, then of its class's.
	Keys    []key
	Cluster string
}

// proxies are those of a Gateway of Envoy Gateway's.
func proxies(g *gatewayv1.Gateway, class *gatewayv1.GatewayClass, internal *attach.Service) *Proxies {
	p := &Proxies{Cluster: attach.QuestionCluster(internal)}
	if i := g.Spec.Infrastructure; i != nil && i.ParametersRef != nil && isEnvoyProxy(i.ParametersRef.Group, i.ParametersRef.Kind) {
		p.Keys = append(p.Keys, key{Namespace: g.Namespace, Name: i.ParametersRef.Name})
	}
	if r := class.Spec.ParametersRef; r != nil && isEnvoyProxy(r.Group, r.Kind) && r.Namespace != nil {
		p.Keys = append(p.Keys, key{Namespace: string(*r.Namespace), Name: r.Name})
	}
	return p
}

func isEnvoyProxy(group gatewayv1.Group, kind gatewayv1.Kind) bool {
	return group == attach.EnvoyGatewayGroup && kind == attach.KindEnvoyProxy
}

// lack says what a Gateway's Envoys have not of what its policy takes; empty for
// nothing.
func (a *attacher) lack(ctx context.Context, p *Proxies) (string, error) {
	if p == nil {
		return "", nil
	}
	var found []attach.Object
	for _, at := range p.Keys {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kindEnvoyProxy)
		switch err := a.client.Get(ctx, at, u); {
		case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		case err != nil:
			return "", fmt.Errorf("get %s %s: %w", kindEnvoyProxy.Kind, at, err)
		default:
			found = append(found, u.Object)
		}
	}
	return attach.ProxiesLack(p.Cluster, found...), nil
}

// heard says why Envoy Gateway does not do as a policy says; nil if it does. Of two
// policies for one Gateway only the older counts.
func (a *attacher) heard(policy *unstructured.Unstructured) *saying {
	var is struct {
		Status gatewayv1.PolicyStatus `json:"status"`
	}
	said := no(v1alpha1.ConditionProgrammed, v1alpha1.ReasonPending, "Envoy Gateway has not said yet whether it takes the policy")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(policy.Object, &is); err == nil {
		for i := range is.Status.Ancestors {
			c := meta.FindStatusCondition(is.Status.Ancestors[i].Conditions, string(gatewayv1.PolicyConditionAccepted))
			switch {
			case c == nil || c.ObservedGeneration != policy.GetGeneration():
			case c.Status == metav1.ConditionTrue:
				return nil
			default:
				said = no(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNotAttached,
					fmt.Sprintf("Envoy Gateway does not take %s %s (%s): %s", policy.GetKind(), keyOf(policy), c.Reason, c.Message))
			}
		}
	}
	a.waits = true
	return &said
}
