package kubernetes

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// many are n servers behind routes of their own, three pods each.
func many(n int) *Objects {
	o := &Objects{MCPGateways: []v1alpha1.MCPGateway{{ObjectMeta: metav1.ObjectMeta{Namespace: "infra", Name: "main"}}}}
	port, number := gatewayv1.PortNumber(80), int32(8080)
	for i := range n {
		at := metav1.ObjectMeta{Namespace: "infra", Name: fmt.Sprintf("server-%04d", i)}
		o.MCPServers = append(o.MCPServers, v1alpha1.MCPServer{ObjectMeta: at, Spec: v1alpha1.MCPServerSpec{
			GatewayRef: &v1alpha1.GatewayReference{Name: "main"}, TargetRef: &v1alpha1.RouteReference{Name: at.Name}, Prefix: fmt.Sprintf("s%04d_", i),
		}})
		o.HTTPRoutes = append(o.HTTPRoutes, gatewayv1.HTTPRoute{ObjectMeta: at, Spec: gatewayv1.HTTPRouteSpec{
			Rules: []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
				BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(at.Name), Port: &port},
			}}}}},
		}})
		o.Services = append(o.Services, corev1.Service{ObjectMeta: at, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
		slice := discoveryv1.EndpointSlice{ObjectMeta: at, AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &number}}}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: at.Name}
		for pod := range 3 {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, pod)}})
		}
		o.EndpointSlices = append(o.EndpointSlices, slice)
	}
	return o
}

func BenchmarkTranslate500(b *testing.B) {
	o := many(500)
	b.ReportAllocs()
	for b.Loop() {
		if t := Translate(o, options); len(t.Gateway.Servers) != 500 {
			b.Fatal("servers are missing")
		}
	}
}

func BenchmarkRecord500(b *testing.B) {
	g := Translate(many(500), options).Gateway
	b.ReportAllocs()
	for b.Loop() {
		recordOf("x", g)
	}
}
