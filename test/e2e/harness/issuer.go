package harness

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// Issuer signs tokens as an authorization server does, and serves its keys. It is
// for tokens that no authorization server would make.
type Issuer struct {
	// URL is its "iss"; its keys are at URL + "/jwks".
	URL string
	t   testing.TB
	now atomic.Pointer[signing]
	// fetches counts what was asked of it; away has it answer with 503.
	fetches atomic.Int64
	away    atomic.Bool
}

// signing is what tokens are signed with.
type signing struct {
	key *rsa.PrivateKey
	id  string
}

// NewIssuer starts one.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	i.sign("one")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		if i.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(i.Keys())
	}))
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func (i *Issuer) sign(id string) {
	i.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		i.t.Fatal(err)
	}
	i.now.Store(&signing{key, id})
}

// Withdraw has it sign with another key from now on, and serve that one alone.
func (i *Issuer) Withdraw() {
	i.t.Helper()
	i.sign("not-" + i.now.Load().id)
}

// Keys is its key set.
func (i *Issuer) Keys() []byte {
	now := i.now.Load()
	return encoded(i.t, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": now.id,
		"n": base64.RawURLEncoding.EncodeToString(now.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(now.key.E)).Bytes()),
	}}})
}

// SetAway has it serve its keys no more, or again. Fetches is how often they were
// asked for.
func (i *Issuer) SetAway(away bool) { i.away.Store(away) }
func (i *Issuer) Fetches() int64    { return i.fetches.Load() }

// Claims are what a token says. A nil value takes a claim away.
type Claims map[string]any

// Token signs claims of subject for audience, good for an hour; changes are made
// to them, and "alg" and "kid" among these to the header.
func (i *Issuer) Token(subject, audience string, changes Claims) string {
	i.t.Helper()
	with, now := i.now.Load(), time.Now().Unix()
	head := map[string]any{"alg": "RS256", "kid": with.id, "typ": "at+jwt"}
	claims := map[string]any{"iss": i.URL, "sub": subject, "aud": audience, "iat": now, "exp": now + 3600, "client_id": "test"}
	for name, value := range changes {
		to := claims
		if name == "alg" || name == "kid" {
			to = head
		}
		to[name] = value
	}
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	maps.DeleteFunc(head, func(_ string, value any) bool { return value == nil })
	text := base64.RawURLEncoding.EncodeToString(encoded(i.t, head)) + "." + base64.RawURLEncoding.EncodeToString(encoded(i.t, claims))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, with.key, crypto.SHA256, sum[:])
	if err != nil {
		i.t.Fatal(err)
	}
	if head["alg"] == "none" {
		return text + "."
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// AuthorizationServer runs the one of test/clients for tokens of a resource with
// these scopes, and returns its issuer, whose keys are at "/jwks" behind it.
func AuthorizationServer(t testing.TB, resource, scopes string) string {
	t.Helper()
	addr, port := address(t, "")
	p := Start(t, "authorization-server", Tool(t, ".tools/node/bin/node"),
		[]string{Tool(t, "test/clients/ts/idp.mjs"), port, resource, scopes}, "NODE_NO_WARNINGS=1")
	p.WaitLine(p.Stdout(), "ready")
	return "http://" + addr
}

// Auth are lines for Config.Auth: tokens of this issuer for the endpoint at url.
func (i *Issuer) Auth(url string, more ...string) []string {
	return append([]string{
		"resource: " + url,
		fmt.Sprintf("issuers: [{issuer: %s, jwks: {url: %s/jwks}}]", i.URL, i.URL),
	}, more...)
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
