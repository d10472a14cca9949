package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mcp-gateway/cmd/mcp-gateway/runner"
	"mcp-gateway/internal/gatewayconfig"
)

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "mcp-gateway",
		Version:       buildVersion(),
		Short:         "Many MCP servers behind one endpoint, inside Envoy",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate(versionLine() + "\n")
	root.AddCommand(runCommand(), brokerCommand(), controlplaneCommand(),
		validateCommand(), renderCommand(), bootstrapCommand(), schemaCommand(), pinCommand(), diffCommand(), approveCommand(), healthcheckCommand(), versionCommand())
	return root
}

func runCommand() *cobra.Command {
	var logs logFlags
	var r runner.Config
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the whole gateway: Envoy, broker and control plane",
		Args:  noFile,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := checkRun(&r); err != nil {
				return err
			}
			r.Log, r.Version, r.Stdout, r.Hurry = log, buildVersion(), os.Stdout, hurry(c.Context())
			r.Ready = func(endpoint string) {
				_, _ = fmt.Fprintf(c.OutOrStdout(), "ready endpoint=%s\n", endpoint)
			}
			return runner.Run(c.Context(), r)
		},
	}
	c.Flags().StringVar(&r.File, "config", "", "the configuration file (required)")
	c.Flags().StringVar(&r.Listen, "listen", "", "host:port of the endpoint, in place of gateway.listen; port 0 takes a free one")
	c.Flags().StringVar(&r.Envoy, "envoy", "", "Envoy's executable; else $ENVOY, the one that the build fetched, or the one in PATH")
	addHostFlag(c, &r.Host)
	c.Flags().StringVar(&r.Module, "module", "", "the filter's library; else the one beside this program or in bin")
	c.Flags().StringVar(&r.Admin, "admin", "", "where Envoy's admin interface listens: unix:/path or a loopback address; else a private socket")
	c.Flags().IntVar(&r.Concurrency, "concurrency", runtime.GOMAXPROCS(0), "Envoy's worker threads")
	c.Flags().StringVar(&r.EnvoyLogLevel, "envoy-log-level", "warning", strings.Join(envoyLevels, ", "))
	c.Flags().StringVar(&r.TrustedCA, "trusted-ca", "", "file of certificate authorities for https servers and issuers, in place of the system's (Debian's for Envoy)")
	c.Flags().DurationVar(&r.Drain, "drain", 8*time.Second, "how long a first signal waits for calls under way; 0 for not at all")
	logs.add(c)
	_ = c.MarkFlagRequired("config")
	return c
}

// noFile is for commands that have no arguments, but whose file is often given as one.
func noFile(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no %q: name the configuration file with --config FILE", c.CommandPath(), args[0])
	}
	return nil
}

// envoyLevels are Envoy's names of what it logs.
var envoyLevels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

// checkRun finds values of flags that would be changed silently, or that Envoy would
// refuse again and again.
func checkRun(r *runner.Config) error {
	switch {
	case r.Drain < 0:
		return fmt.Errorf("--drain: %v: want 0 or more", r.Drain)
	case r.Concurrency < 1:
		return fmt.Errorf("--concurrency: %d: want 1 or more", r.Concurrency)
	case !slices.Contains(envoyLevels, r.EnvoyLogLevel):
		return fmt.Errorf("--envoy-log-level: %q is none of %s", r.EnvoyLogLevel, strings.Join(envoyLevels, ", "))
	}
	return nil
}

func brokerCommand() *cobra.Command {
	var logs logFlags
	var b runner.BrokerConfig
	c := &cobra.Command{
		Use:   "broker (--config FILE | --control-plane URL)",
		Short: "Run the broker alone",
		Long: "Run the broker alone. It is guarded by the secret in $" + gatewayconfig.SecretEnv + ", or in the file\n" +
			"that $" + secretFileEnv + " names. Envoy and the control plane need the same. Without a secret\n" +
			"it listens only on loopback addresses and sockets.",
		Args: noFile,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			if b.Secret, err = secret(os.Getenv); err != nil {
				return err
			}
			b.Log, b.Version, b.Hurry = log, buildVersion(), hurry(c.Context())
			return runner.Broker(c.Context(), b)
		},
	}
	c.Flags().StringVar(&b.File, "config", "", "the configuration file")
	c.Flags().StringVar(&b.ControlPlane, "control-plane", "", "URL of the control plane that has the configuration: http://host:port or unix:///path")
	c.Flags().StringVar(&b.Listen, "listen", "127.0.0.1:8890", "for Envoy's traffic: host:port or unix:/path")
	c.Flags().StringVar(&b.TrustedCA, "trusted-ca", "", "file of certificate authorities for https servers, in place of the system's; Envoy has its own")
	c.Flags().StringVar(&b.InternalListen, "internal-listen", "127.0.0.1:8891", "for the filter's questions, /healthz, /readyz and /status")
	logs.add(c)
	c.MarkFlagsMutuallyExclusive("config", "control-plane")
	c.MarkFlagsOneRequired("config", "control-plane")
	return c
}

func controlplaneCommand() *cobra.Command {
	var logs logFlags
	var p runner.ControlPlaneConfig
	var k runner.KubernetesConfig
	var inCluster bool
	c := &cobra.Command{
		Use:   "controlplane (--config FILE | --kubernetes --gateway NAMESPACE/NAME)",
		Short: "Run the control plane alone",
		Long: "Run the control plane alone: xDS for Envoys, and the brokers' configuration. It comes from a file, or from\n" +
			"the MCPGateway, MCPServer and MCPVirtualServer objects of a cluster. What brokers get holds what\n" +
			"servers are sent, so secrets. The brokers' part is guarded by the secret in $" + gatewayconfig.SecretEnv + ", or in the file\n" +
			"that $" + secretFileEnv + " names; without one it listens only on a loopback address or a socket.\n" +
			"xDS has no guard but the network: let nobody but Envoys reach it.",
		Args: noFile,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			if p.Secret, err = secret(os.Getenv); err != nil {
				return err
			}
			if inCluster {
				p.Kubernetes = &k
			}
			p.Log, p.Version = log, buildVersion()
			return runner.ControlPlane(c.Context(), p)
		},
	}
	c.Flags().StringVar(&p.File, "config", "", "the configuration file")
	addKubernetesFlags(c, &inCluster, &k)
	c.Flags().StringVar(&p.XDSListen, "xds-listen", "127.0.0.1:18000", "for Envoys: host:port or unix:/path")
	c.Flags().StringVar(&p.ConfigListen, "config-listen", "127.0.0.1:18001", "for brokers, with /healthz and /readyz: host:port or unix:/path")
	c.Flags().StringVar(&p.MetricsListen, "metrics-listen", "", "for /metrics: host:port or unix:/path; none if empty")
	addBrokerFlags(c, &p.Params)
	addHostFlags(c, &p.Params)
	c.Flags().StringVar(&p.Params.TrustedCA, "trusted-ca", "", "file of certificate authorities for https servers and issuers, as Envoy sees it, and for issuers' keys here if it is here; Debian's if empty")
	logs.add(c)
	c.MarkFlagsMutuallyExclusive("config", "kubernetes")
	c.MarkFlagsOneRequired("config", "kubernetes")
	c.MarkFlagsRequiredTogether("kubernetes", "gateway")
	return c
}

// addKubernetesFlags adds which gateway of a cluster to serve.
func addKubernetesFlags(c *cobra.Command, on *bool, k *runner.KubernetesConfig) {
	c.Flags().BoolVar(on, "kubernetes", false, "take the configuration from a Kubernetes cluster")
	c.Flags().StringVar(&k.Gateway, "gateway", "", "the MCPGateway to serve: namespace/name")
	c.Flags().StringVar(&k.Kubeconfig, "kubeconfig", "", "how to reach the API server; else $KUBECONFIG, or as a pod does")
	c.Flags().StringSliceVar(&k.SecretNamespaces, "secret-namespaces", nil, "namespaces, besides the gateway's, whose Secrets and ConfigMaps are read")
	c.Flags().BoolVar(&k.Single, "single", false, "there is one replica: hold no lease")
	c.Flags().StringVar(&k.LeaseNamespace, "lease-namespace", "", "where replicas hold the lease of who writes; the gateway's if empty")
	c.Flags().BoolVar(&k.Attach, "attach", false, "bring the filter into the Envoys of the Gateway that the MCPGateway names as targetRef")
	c.Flags().StringVar(&k.ClusterDomain, "cluster-domain", "cluster.local", "what the names of Services end with")
}
