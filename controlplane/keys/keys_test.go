package keys

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// issuer serves what a test puts into it; nothing is 503.
type issuer struct {
	*httptest.Server
	set atomic.Pointer[string]
	// asked has a token after a fetch.
	asked chan struct{}
}

func newIssuer(t *testing.T, set string) *issuer {
	t.Helper()
	i := &issuer{asked: make(chan struct{}, 1)}
	i.set.Store(&set)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			select {
			case i.asked <- struct{}{}:
			default:
			}
		}()
		text := *i.set.Load()
		switch {
		case text == "":
			http.Error(w, "away", http.StatusServiceUnavailable)
		case text == "elsewhere":
			http.Redirect(w, r, "/other", http.StatusFound)
		default:
			_, _ = w.Write([]byte(text))
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) put(set string) { i.set.Store(&set) }

// looked waits until it was asked since, and what it said was taken in.
func (i *issuer) looked(t *testing.T) {
	t.Helper()
	for range 3 { // one may be of before, and the last is not taken in yet
		select {
		case <-i.asked:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody asks for the keys")
		}
	}
}

// watched runs a Watcher; the channel has a token for each change.
func watched(t *testing.T) (*Watcher, <-chan struct{}) {
	t.Helper()
	changes := make(chan struct{}, 100)
	w := New(zap.NewNop(), nil, func() { changes <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, changes
}

// The certificate of an issuer is checked against the authorities that are given.
func TestIssuersHaveACertificateOfTheAuthorities(t *testing.T) {
	t.Parallel()
	i := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[` + one + `]}`)) }))
	t.Cleanup(i.Close)
	known := x509.NewCertPool()
	known.AddCert(i.Certificate())
	for _, test := range []struct {
		roots *x509.CertPool
		fails bool
	}{{known, false}, {nil, true}} {
		digest, err := New(zap.NewNop(), test.roots, nil).fetch(t.Context(), i.URL)
		if (err != nil) != test.fails || (digest == "") != test.fails {
			t.Errorf("with %v authorities: %q, %v", test.roots, digest, err)
		}
	}
}

func next(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		t.Fatal("no change is told")
	}
}

const (
	one  = `{"kid":"one","kty":"RSA","n":"a","e":"AQAB"}`
	two  = `{"kid":"two","kty":"RSA","n":"b","e":"AQAB"}`
	fast = 5 * time.Millisecond
)

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, `{"keys":[`+one+`,`+two+`]}`)
	w, changes := watched(t)
	if len(w.Digests()) != 0 {
		t.Error("something is known of nothing")
	}
	w.Follow([]string{i.URL}, fast)
	w.Await(t.Context())
	next(t, changes)
	first := w.Digests()[i.URL]
	if first == "" {
		t.Fatal("nothing is known")
	}
	// The same keys, and no keys at all, are no change.
	for _, same := range []string{
		`{"keys":[` + two + `, {"e":"AQAB","n":"a","kty":"RSA","kid":"one"}],"x":1}`,
		"", "<html>", `{}`, `{"keys":null}`, `{"keys":["a"]}`, "elsewhere",
	} {
		i.put(same)
		i.looked(t)
		if got := w.Digests()[i.URL]; got != first || len(changes) > 0 {
			t.Errorf("%s: %s, %d changes", same, got, len(changes))
		}
	}
	i.put(`{"keys":[` + two + `]}`)
	next(t, changes)
	if got := w.Digests()[i.URL]; got == first || got == "" {
		t.Errorf("after a key was withdrawn: %s", got)
	}
	i.put(`{"keys":[]}`)
	next(t, changes)
	i.put(`{"keys":[` + one + `,` + two + `]}`)
	next(t, changes)
	if got := w.Digests()[i.URL]; got != first {
		t.Errorf("the first keys again: %s", got)
	}
	w.Follow(nil, 0)
	w.Await(t.Context())
	if got := w.Digests(); len(got) != 0 {
		t.Errorf("what is not followed: %v", got)
	}
}

// Who waits waits for issuers that hang, but not for ever.
func TestAwait(t *testing.T) {
	t.Parallel()
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hanging.Close)
	away := newIssuer(t, "")
	w, _ := watched(t)
	w.Follow([]string{away.URL}, time.Hour)
	w.Await(t.Context())
	select {
	case <-away.asked:
	default:
		t.Error("it did not wait")
	}
	w.Follow([]string{hanging.URL}, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	w.Await(ctx)
	if ctx.Err() == nil {
		t.Error("it waited for nothing")
	}
	hanging.CloseClientConnections()
}
