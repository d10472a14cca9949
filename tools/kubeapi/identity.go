package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// identity is who may use the server: an administrator, by a random token, and the
// ServiceAccounts for which that one asks tokens.
type identity struct {
	dir, token  string
	tokens, key string // files
}

func newIdentity(dir string) (identity, error) {
	id := identity{dir: dir, token: rand.Text(), tokens: filepath.Join(dir, "tokens.csv"), key: filepath.Join(dir, "accounts.key")}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return identity{}, err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := os.WriteFile(id.key, pem.EncodeToMemory(block), 0o600); err != nil {
		return identity{}, err
	}
	line := fmt.Sprintf("%s,admin,admin,system:masters\n", id.token)
	return id, os.WriteFile(id.tokens, []byte(line), 0o600)
}

// kubeconfig writes the administrator's, in one step: who sees it may use it.
func (id identity) kubeconfig(url, ca string) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, url, ca, id.token)
	name := filepath.Join(id.dir, "admin.kubeconfig")
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// awaitReady returns when the server says that it is ready. Its certificate, which
// it makes for itself, is in the file ca by then.
func awaitReady(ctx context.Context, url, ca, token string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if pem, err := os.ReadFile(ca); err == nil && ready(ctx, url, pem, token) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready: %w", ctx.Err())
		}
	}
}

func ready(ctx context.Context, url string, ca []byte, token string) bool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
