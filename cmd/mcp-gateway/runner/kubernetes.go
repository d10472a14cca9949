package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"mcp-gateway/controlplane/attach"
	"mcp-gateway/controlplane/brokers"
	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/source/kubernetes"
	"mcp-gateway/internal/gatewayconfig"
)

// KubernetesConfig says which gateway of a cluster to serve.
type KubernetesConfig struct {
	// Gateway is the MCPGateway, "namespace/name".
	Gateway string
	// Kubeconfig is the file that says how to reach the API server; empty means
	// $KUBECONFIG, or as a pod does.
	Kubeconfig string
	// SecretNamespaces are those, besides the gateway's, whose Secrets and ConfigMaps
	// are read.
	SecretNamespaces []string
	// Single is a control plane without replicas; else they hold a lease in
	// LeaseNamespace, by default the gateway's.
	Single         bool
	LeaseNamespace string
	// ClusterDomain ends the names of Services; empty means cluster.local.
	ClusterDomain string
	// Attach has the filter brought into the Envoys of the Gateway that the MCPGateway
	// is at.
	Attach bool
}

// attach says where Gateways find the brokers.
func (k *KubernetesConfig) attach(p envoyconfig.Params) (*kubernetes.AttachOptions, error) {
	if !k.Attach {
		return nil, nil
	}
	broker, err := attach.ParseService(p.BrokerPublic, k.ClusterDomain)
	if err != nil {
		return nil, fmt.Errorf("control plane: --broker %w", err)
	}
	internal, err := attach.ParseService(p.BrokerInternal, k.ClusterDomain)
	if err != nil {
		return nil, fmt.Errorf("control plane: --broker-internal %w", err)
	}
	return &kubernetes.AttachOptions{Broker: broker, Internal: internal, TrustedCA: p.TrustedCA}, nil
}

// run watches the cluster and hands its gateway to apply; lack gets why there is none.
func (k *KubernetesConfig) run(ctx context.Context, log *zap.Logger, p envoyconfig.Params, watch brokers.Watch,
	apply func(g *gateway.Gateway, changed time.Time) (digest string, err error), lack func(why string)) error {
	namespace, name, ok := strings.Cut(k.Gateway, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("control plane: --gateway %q: want the MCPGateway as namespace/name", k.Gateway)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.Kubeconfig
	rest, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("control plane: how to reach the API server: %w", err)
	}
	attached, err := k.attach(p)
	if err != nil {
		return err
	}
	lease := k.LeaseNamespace
	switch {
	case k.Single:
		lease = ""
	case lease == "":
		lease = namespace
	}
	return kubernetes.Run(ctx, kubernetes.Config{
		Options: kubernetes.Options{
			Gateway:          types.NamespacedName{Namespace: namespace, Name: name},
			SecretNamespaces: k.SecretNamespaces, ClusterDomain: k.ClusterDomain,
			Attach: attached,
		},
		REST:           rest,
		Apply:          apply,
		Lack:           lack,
		Brokers:        func(ctx context.Context, changed func([]gatewayconfig.Report)) { watch.Run(ctx, changed) },
		LeaseNamespace: lease,
		Log:            log.Named("kubernetes"),
	})
}
