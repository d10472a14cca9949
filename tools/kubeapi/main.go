// Command kubeapi is a real kube-apiserver with its etcd in one process, on
// loopback addresses, for tests. It serves no path of the gateway.
//
//	kubeapi --dir DIR --port PORT [--set FLAG=VALUE]...
//
// DIR gets all that it keeps, among that admin.kubeconfig, whose user may do
// anything. "ready URL" on stdout tells that it serves. No controller manager, no
// scheduler and no kubelet runs: nothing comes of a Deployment, a deleted namespace
// stays, and what is owned outlives its owner.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// startPatience bounds the time until everything serves.
const startPatience = 2 * time.Minute

func main() {
	var dir string
	var port int
	var set []string
	c := &cobra.Command{
		Use:           "kubeapi --dir DIR --port PORT",
		Short:         "A kube-apiserver and its etcd for tests",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run(ctx, dir, port, set)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of its state, which is made (required)")
	c.Flags().IntVar(&port, "port", 0, "on 127.0.0.1, a free one (required)")
	c.Flags().StringArrayVar(&set, "set", nil, "a flag of kube-apiserver, as --set=v=2; the last of several holds")
	_ = c.MarkFlagRequired("dir")
	_ = c.MarkFlagRequired("port")
	if err := c.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "kubeapi:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or a part of it fails.
func run(ctx context.Context, dir string, port int, set []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	id, err := newIdentity(dir)
	if err != nil {
		return err
	}
	etcd, err := startEtcd(ctx, dir)
	if err != nil {
		return err
	}
	defer etcd.Close()
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	certificates := filepath.Join(dir, "certificates")
	args := []string{
		"--etcd-servers=http://" + etcd.Clients[0].Addr().String(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=" + certificates,
		"--token-auth-file=" + id.tokens,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + id.key,
		"--service-account-signing-key-file=" + id.key,
		"--service-cluster-ip-range=10.96.0.0/16",
		// A Service "kubernetes" with a loopback address as endpoint would be refused.
		"--endpoint-reconciler-type=none",
		// It waits for ServiceAccounts that the controller manager would make.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--profiling=false",
	}
	for _, flag := range set {
		args = append(args, "--"+flag)
	}
	server := app.NewAPIServerCommand()
	server.SetArgs(args)
	server.SetContext(ctx)

	failed := make(chan error, 1)
	go func() {
		if code := cli.Run(server); code != 0 {
			failed <- fmt.Errorf("kube-apiserver ended with exit code %d", code)
			return
		}
		failed <- nil
	}()
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(ctx, url, filepath.Join(certificates, "apiserver.crt"), id.token) }()
	for {
		select {
		case err := <-failed:
			return err
		case err := <-ready:
			if err != nil {
				return err
			}
			if err := id.kubeconfig(url, filepath.Join(certificates, "apiserver.crt")); err != nil {
				return err
			}
			fmt.Println("ready", url)
		case err := <-etcd.Err():
			return fmt.Errorf("etcd: %w", err)
		}
	}
}
