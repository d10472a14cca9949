package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/internal/pin"
	"mcp-gateway/internal/redisaddr"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:      pkix.Name{CommonName: "authority"},
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, encoded("CERTIFICATE", der)}
}

// issue returns a certificate for a name and addresses, and its key, in PEM.
func (a *authority) issue(t *testing.T, name string, ips ...net.IP) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return encoded("CERTIFICATE", der), encoded("PRIVATE KEY", private)
}

func encoded(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate, key := ca.issue(t, "redis.example")
	server := redistest.Start(t, "--port", "0", "--tls-port", "{port}",
		"--tls-cert-file", file("redis.pem", certificate), "--tls-key-file", file("redis.key", key),
		"--tls-ca-cert-file", file("ca.pem", ca.pem), "--tls-auth-clients", "yes")
	mine, mineKey := ca.issue(t, "gateway.example")
	foreign, foreignKey := other.issue(t, "gateway.example")
	url := "rediss://" + server.Addr()

	for name, c := range map[string]redisaddr.TLS{
		"all settings":      {CA: ca.pem, Certificate: mine, Key: mineKey, ServerName: "redis.example"},
		"any certificate":   {Certificate: mine, Key: mineKey, SkipVerify: true},
		"several to trust":  {CA: other.pem + ca.pem, Certificate: mine, Key: mineKey, ServerName: "redis.example"},
		"with what follows": {CA: ca.pem, Certificate: mine + ca.pem, Key: mineKey, ServerName: "redis.example"},
	} {
		t.Run(name, func(t *testing.T) { create(t, open(t, redis.Options{Timeouts: usual, URL: url, TLS: c})) })
	}
	for name, o := range map[string]redis.Options{
		"unknown authority":   {URL: url, TLS: redisaddr.TLS{CA: other.pem, Certificate: mine, Key: mineKey, ServerName: "redis.example"}},
		"system's authority":  {URL: url, TLS: redisaddr.TLS{Certificate: mine, Key: mineKey, ServerName: "redis.example"}},
		"name of another":     {URL: url, TLS: redisaddr.TLS{CA: ca.pem, Certificate: mine, Key: mineKey, ServerName: "other.example"}},
		"name of the address": {URL: url, TLS: redisaddr.TLS{CA: ca.pem, Certificate: mine, Key: mineKey}},
		"no certificate":      {URL: url, TLS: redisaddr.TLS{CA: ca.pem, ServerName: "redis.example"}},
		"foreign certificate": {URL: url, TLS: redisaddr.TLS{CA: ca.pem, Certificate: foreign, Key: foreignKey, ServerName: "redis.example"}},
		"no TLS":              {URL: "redis://" + server.Addr()},
	} {
		t.Run(name, func(t *testing.T) {
			o.Timeouts = usual
			st, err := redis.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close() // a refused connection cannot be closed in good order
			wantUnavailable(t, name, func() error { _, err := st.Get(t.Context(), session.NewID()); return err })
		})
	}
}

func TestSkipVerifyIsLogged(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.WarnLevel)
	openAsIs(t, redis.Options{Timeouts: usual, URL: "rediss://127.0.0.1:1", TLS: redisaddr.TLS{SkipVerify: true}, Log: zap.New(core)})
	if logged.FilterMessageSnippet("certificate").Len() != 1 {
		t.Errorf("got %v, want a warning", logged.All())
	}
}

// gatewayACL is what docs/sessions.md says that the gateway's user needs.
func gatewayACL(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/sessions.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if rule, ok := strings.CutPrefix(line, "user gateway on >PASSWORD "); ok {
			return append([]string{"ACL", "SETUSER", "gateway", "on", ">secret/@"}, strings.Fields(rule)...)
		}
	}
	t.Fatal("docs/sessions.md has no line that begins with: user gateway on >PASSWORD")
	return nil
}

// TestConformanceACL runs with no more rights than the documented ones.
func TestConformanceACL(t *testing.T) {
	t.Parallel()
	acl := gatewayACL(t)
	server := redistest.Start(t)
	server.Must(acl...)
	server.Must(append([]string{"ACL", "SETUSER", "gateway"}, "resetkeys", "~test*", "resetchannels", "&test*")...)
	conformance(t, redis.Options{URL: server.URL(), Username: "gateway", Password: "secret/@"}, []*redistest.Server{server})
}

func TestACL(t *testing.T) {
	t.Parallel()
	acl := gatewayACL(t)
	nodes := redistest.StartCluster(t)
	core, logged := observer.New(zap.WarnLevel)
	for _, n := range nodes {
		n.Must(acl...)
		n.Must("ACL", "SETUSER", "default", "off")
	}
	url := "redis://%s" + nodes[0].Addr() + "?addr=" + nodes[1].Addr()
	st := open(t, redis.Options{Timeouts: usual, URL: fmt.Sprintf(url, ""), Username: "gateway", Password: "secret/@", Log: zap.New(core)})
	events := st.Invalidations(t.Context())
	wantFlush(t, events)
	wantAll(t, st, population(t, st, 20))
	wantMail(t, st, st.Mail(t.Context(), "a"))
	if _, err := st.Expired(t.Context(), 1); err != nil {
		t.Errorf("Expired: %v", err)
	}
	pins := openPins(t, redis.Options{URL: fmt.Sprintf(url, ""), Username: "gateway", Password: "secret/@", Log: zap.New(core)})
	changes := pins.Changes(t.Context())
	<-changes
	eventually(t, func() error { return pins.First(t.Context(), "cal", pin.Set{pin.Tools: {}}) })
	if got := <-changes; got != "cal" || !load(t, pins, "cal").Has(pin.Tools) {
		t.Errorf("pins: news of %q", got)
	}
	create(t, open(t, redis.Options{Timeouts: usual, URL: fmt.Sprintf(url, "gateway:secret%2F%40@")}))
	create(t, open(t, redis.Options{Timeouts: usual, URL: fmt.Sprintf(url, "gateway:old@"), Password: "secret/@"}))
	for name, o := range map[string]redis.Options{
		"wrong password": {URL: fmt.Sprintf(url, ""), Username: "gateway", Password: "wrong"},
		"no password":    {URL: fmt.Sprintf(url, "")},
		"another prefix": {URL: fmt.Sprintf(url, "gateway:secret%2F%40@"), Prefix: "other:"},
	} {
		o.Timeouts = usual
		st := openAsIs(t, o)
		wantUnavailable(t, name, func() error { return st.Create(t.Context(), session.Session{ID: session.NewID()}, session.Caps{}) })
	}
	if logged.Len() > 0 {
		t.Errorf("warnings: %v", logged.All())
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "redis") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	redistest.Start(t, "--unixsocket", socket)
	st := open(t, redis.Options{Timeouts: usual, URL: "unix://" + socket + "?db=3"})
	id := create(t, st)
	wantBack(t, st, id)
	other := open(t, redis.Options{Timeouts: usual, URL: "unix://" + socket})
	if _, err := other.Get(t.Context(), id); err == nil {
		t.Error("the session is in every database")
	}
}

func TestWarnsOfEviction(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]int{"allkeys-lru": 1, "volatile-ttl": 1, "noeviction": 0} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			core, logged := observer.New(zap.InfoLevel)
			server := redistest.Start(t, "--maxmemory", "64mb", "--maxmemory-policy", policy)
			st, err := redis.New(redis.Options{Timeouts: usual, URL: server.URL(), Log: zap.New(core), Timeout: patient})
			if err != nil {
				t.Fatal(err)
			}
			for limit := time.Now().Add(patient); want > 0 && logged.Len() == 0 && time.Now().Before(limit); {
				create(t, st)
			}
			if err := st.Close(); err != nil { // waits for the look
				t.Error(err)
			}
			if logged.FilterMessageSnippet("maxmemory-policy noeviction").Len() != want || logged.Len() != want {
				t.Errorf("got %v, want %d warnings", logged.All(), want)
			}
		})
	}
}
