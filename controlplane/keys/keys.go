// Package keys watches the key sets of issuers (RFC 7517) for the control plane.
// Envoys fetch them for themselves and verify with what they have; but a token that
// one of them has verified it believes until that expires. So a set that has changed
// is told of here, and Envoys are told to begin anew.
//
// It trusts no key and passes none on: all that it gives away is a digest.
package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// fetchTimeout bounds a fetch, largestSet a set in bytes.
	fetchTimeout = 5 * time.Second
	largestSet   = 1 << 20
	// failedAgain is when a set is asked for again that could not be had, if it is
	// not sooner anyway.
	failedAgain = 10 * time.Second
)

// Watcher watches sets by their URLs. Safe for concurrent use.
type Watcher struct {
	log     *zap.Logger
	client  *http.Client
	changed func()

	mu    sync.Mutex
	every time.Duration
	sets  map[string]*set
	// news has a token while Follow has changed what is watched.
	news chan struct{}
	// tried is closed once all that is watched was asked for.
	tried chan struct{}
}

// set is what is known of one.
type set struct {
	digest string // empty before it was had
	tried  bool
	failed bool
}

// New returns a Watcher that watches nothing yet. One of roots has to have signed
// the certificates of issuers, nil means the system's. It calls changed when another
// digest is known than before, one call at a time.
func New(log *zap.Logger, roots *x509.CertPool, changed func()) *Watcher {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: fetchTimeout,
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}
	w := &Watcher{
		log: log, changed: changed, sets: map[string]*set{}, news: make(chan struct{}, 1), tried: make(chan struct{}),
		client: &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // as Envoy has it
		}},
	}
	close(w.tried)
	return w
}

// Follow has these sets be watched and no others, each asked for every so often.
func (w *Watcher) Follow(urls []string, every time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next, fresh := make(map[string]*set, len(urls)), false
	for _, url := range urls {
		if next[url] = w.sets[url]; next[url] == nil {
			next[url], fresh = &set{}, true
		}
	}
	same := !fresh && len(next) == len(w.sets) && every == w.every
	if w.sets, w.every = next, every; same {
		return
	}
	if fresh && closed(w.tried) {
		w.tried = make(chan struct{})
	}
	w.settle()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// Await waits until each set was asked for, or ctx ends.
func (w *Watcher) Await(ctx context.Context) {
	w.mu.Lock()
	tried := w.tried
	w.mu.Unlock()
	select {
	case <-tried:
	case <-ctx.Done():
	}
}

// Digests tells the sets that are known from others, by their URLs.
func (w *Watcher) Digests() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]string, len(w.sets))
	for url, s := range w.sets {
		if s.digest != "" {
			out[url] = s.digest
		}
	}
	return out
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if w.look(ctx) {
			w.changed()
		}
		timer := time.NewTimer(w.pause())
		select {
		case <-ctx.Done():
		case <-w.news:
		case <-timer.C:
		}
		timer.Stop()
	}
	w.client.CloseIdleConnections()
	return nil
}

// pause is how long to wait before the next look.
func (w *Watcher) pause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	pause := cmp.Or(w.every, time.Hour) // nothing is watched
	for _, s := range w.sets {
		if s.failed {
			pause = min(pause, failedAgain)
		}
	}
	return pause
}

// look asks for all sets and reports whether another digest is known.
func (w *Watcher) look(ctx context.Context) bool {
	w.mu.Lock()
	asked := make(map[string]*set, len(w.sets))
	for url, s := range w.sets {
		asked[url] = s
	}
	w.mu.Unlock()
	var all sync.WaitGroup
	changed := make(chan bool, len(asked))
	for url, s := range asked {
		all.Go(func() {
			digest, err := w.fetch(ctx, url)
			changed <- w.keep(s, digest, err)
		})
	}
	all.Wait()
	close(changed)
	any := false
	for c := range changed {
		any = any || c
	}
	return any
}

// keep takes in what was found of s. What could not be had stays as it was known.
func (w *Watcher) keep(s *set, digest string, err error) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !s.failed {
		w.log.Warn("an issuer's keys cannot be had: one that it withdraws goes unnoticed meanwhile", zap.Error(err))
	}
	changed = err == nil && digest != s.digest
	if changed && s.digest != "" {
		w.log.Info("an issuer's keys have changed: all tokens are verified anew")
	}
	if s.tried, s.failed = true, err != nil; err == nil {
		s.digest = digest
	}
	w.settle()
	return changed
}

// settle tells who waits once all sets were asked for. Called under mu.
func (w *Watcher) settle() {
	for _, s := range w.sets {
		if !s.tried {
			return
		}
	}
	if !closed(w.tried) {
		close(w.tried)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fetch returns the digest of a set. Its errors hold no URL, which may hold secrets.
func (w *Watcher) fetch(ctx context.Context, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", errors.New("its address is no URL")
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := w.client.Do(r)
	if err != nil {
		return "", errors.Unwrap(err) // of the *url.Error
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestSet+1))
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the answer has status %d", resp.StatusCode)
	case len(body) > largestSet:
		return "", errors.New("the answer is too large")
	}
	return digestOf(body)
}

// digestOf is the same for the same keys, in whatever order and spelling.
func digestOf(text []byte) (string, error) {
	var of struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(text, &of); err != nil || of.Keys == nil {
		return "", errors.New("the answer is no JSON Web Key Set")
	}
	keys := make([]string, len(of.Keys))
	for i, key := range of.Keys {
		spelled, err := json.Marshal(key) // by sorted names
		if err != nil {
			return "", err
		}
		keys[i] = string(spelled)
	}
	slices.Sort(keys)
	all, err := json.Marshal(slices.Compact(keys))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:6]), nil
}
