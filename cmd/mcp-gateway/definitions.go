package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mcp-gateway/broker/integrity"
	"mcp-gateway/cmd/mcp-gateway/runner"
	"mcp-gateway/controlplane/source/file"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

// definitions says where definitions come from, a running gateway or the servers
// of a configuration, and what is trusted: a lock file, or what the gateway knows.
type definitions struct {
	config, gateway, lockFile, trustedCA string
	patience                             time.Duration
	// servers are the names of those that were asked, with a configuration.
	servers []string
}

func (d *definitions) add(c *cobra.Command) {
	c.Flags().StringVar(&d.config, "config", "", "the configuration file: its servers are asked, and its lock file counts")
	c.Flags().StringVar(&d.lockFile, "lock", "", "the lock file, in place of the configuration's integrity.pins.file")
	c.Flags().StringVar(&d.trustedCA, "trusted-ca", "", "file of certificate authorities for https servers that are asked; the system's if empty")
	c.Flags().DurationVar(&d.patience, "timeout", time.Minute, "how long all of it may take")
}

// addGateway adds the running gateway as a source.
func (d *definitions) addGateway(c *cobra.Command) {
	c.Flags().StringVar(&d.gateway, "gateway", "", "a running gateway's internal API: unix:/path or http://host:port; run names it in its log as status")
	c.MarkFlagsMutuallyExclusive("config", "gateway")
}

// locked reports whether a lock file says what is trusted.
func (d *definitions) locked() bool { return d.config != "" || d.lockFile != "" }

// read returns all definitions, and the lock file if there is one. What differs
// from what is trusted has a Why.
func (d *definitions) read(ctx context.Context, servers []string) (integrity.Overview, pin.Lock, error) {
	if d.config != "" {
		return d.ask(ctx, servers)
	}
	if d.gateway == "" {
		return integrity.Overview{}, nil, errors.New("name --gateway ADDRESS of a running one, or --config FILE")
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	var out integrity.Overview
	text, err := d.request(ctx, http.MethodGet, gatewayconfig.PathIntegrity+"?all", nil)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil || !d.locked() {
		return out, nil, err
	}
	lock, err := readLock(d.lockFile)
	for i := range out.Definitions {
		compare(&out.Definitions[i], lock)
	}
	return out, lock, err
}

// compare says what a lock file makes of a definition of a gateway that may know
// another one.
func compare(d *integrity.Definition, lock pin.Lock) {
	d.Pinned = nil
	old, known := lock[d.Server].Get(pin.Item{Kind: d.Kind, Name: d.Name})
	switch {
	case !known:
		d.Why = integrity.WhyNew
		return
	case old.Hash != d.Current.Hash:
		d.Why = integrity.WhyChanged
	default:
		d.Why = ""
		for _, f := range d.Findings {
			if !old.Accepts(f.Check) {
				d.Why = integrity.WhyFound
			}
		}
	}
	d.Pinned = &old
}

// ask asks the servers of the configuration.
func (d *definitions) ask(ctx context.Context, servers []string) (integrity.Overview, pin.Lock, error) {
	g, problems := file.Load(d.config, os.LookupEnv, file.WithoutLock)
	if g == nil {
		return integrity.Overview{}, nil, &runner.ConfigError{File: d.config, Problems: problems}
	}
	if d.servers = servers; len(servers) == 0 {
		for _, s := range g.EnabledServers() {
			d.servers = append(d.servers, s.Name)
		}
	}
	if d.lockFile == "" {
		d.lockFile = g.Integrity.Pins.File
	}
	if d.lockFile == "" {
		return integrity.Overview{}, nil, errors.New("the configuration has no integrity.pins.file: name a lock file with --lock, or a running gateway with --gateway")
	}
	lock, err := readLock(d.lockFile)
	if err != nil {
		return integrity.Overview{}, nil, err
	}
	out, err := runner.Definitions(ctx, runner.DefinitionsConfig{
		Gateway: g, Servers: servers, Lock: lock, TrustedCA: d.trustedCA, Version: buildVersion(), Patience: d.patience, Log: zap.NewNop(),
	})
	return out, lock, err
}

// readLock reads a lock file; one that is not there is empty.
func readLock(path string) (pin.Lock, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return pin.Lock{}, nil
	}
	if err != nil {
		return nil, err
	}
	lock, err := pin.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return lock, nil
}

func (d *definitions) write(lock pin.Lock) error {
	text, err := lock.Text()
	if err != nil {
		return err
	}
	if err := integrity.Replace(d.lockFile, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", d.lockFile, err)
	}
	return nil
}

// largestAnswer bounds what is read of a gateway.
const largestAnswer = 256 << 20

// request sends a request to the gateway's internal API.
func (d *definitions) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	base := d.gateway
	if socket, ok := strings.CutPrefix(d.gateway, "unix:"); ok {
		base = "http://gateway"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	} else if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
		return nil, fmt.Errorf("--gateway: %q: want unix:/path or http://host:port", d.gateway)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("--gateway: no address of a gateway")
	}
	token, err := secret(os.Getenv)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gateway: %w", err)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("gateway: it wants the secret of $%s", gatewayconfig.SecretEnv)
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("gateway: %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return text, nil
}
