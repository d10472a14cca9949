// Package brokers asks the brokers of a gateway what they see, for the control
// plane to tell: which configuration is in force, which servers have answered. Asking
// instead of being told needs no broker to know which replica of the control plane
// has the say.
package brokers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

const (
	// every is the time between two questions, patience that for one answer.
	every    = time.Second
	patience = 3 * time.Second
	// largest bounds a report, in bytes.
	largest = 16 << 20
	// chances is how many questions in a row a broker may leave without an answer
	// before it counts as gone.
	chances = 3
)

// Watch is where the brokers are.
type Watch struct {
	// Address is their internal listener, "unix:/path" or "host:port". Behind a name
	// with several addresses are as many brokers.
	Address string
	// Secret is sent as bearer token; empty for none.
	Secret string
	// Lookup finds the addresses of a name; nil means DNS.
	Lookup func(ctx context.Context, host string) ([]string, error)
}

// broker is what is known of one.
type broker struct {
	client *http.Client
	url    string
	tag    string
	report *gatewayconfig.Report
	silent int // questions in a row without an answer
}

// Run calls changed with the reports of all brokers that answer, sorted by their
// addresses, once and then whenever they differ, until ctx ends.
func (w *Watch) Run(ctx context.Context, changed func([]gatewayconfig.Report)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	known := map[string]*broker{}
	for first := true; ctx.Err() == nil; first = false {
		if w.ask(ctx, known) || first {
			changed(reports(known))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for _, b := range known {
		b.client.CloseIdleConnections()
	}
}

// ask asks each broker once, and reports whether there is anything new.
func (w *Watch) ask(ctx context.Context, known map[string]*broker) (changed bool) {
	addresses, err := w.addresses(ctx)
	for at, b := range known {
		if err == nil && !slices.Contains(addresses, at) {
			b.client.CloseIdleConnections()
			delete(known, at)
			changed = changed || b.report != nil
		}
	}
	for _, at := range addresses {
		if known[at] == nil {
			known[at] = newBroker(at)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, b := range known {
		wg.Go(func() {
			if b.ask(ctx, w.Secret) {
				mu.Lock()
				changed = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return changed
}

// addresses are those of the brokers, none twice.
func (w *Watch) addresses(ctx context.Context) ([]string, error) {
	if strings.HasPrefix(w.Address, "unix:") {
		return []string{w.Address}, nil
	}
	host, port, err := net.SplitHostPort(w.Address)
	if err != nil {
		return nil, fmt.Errorf("brokers: %q is neither unix:/path nor host:port", w.Address)
	}
	if net.ParseIP(host) != nil {
		return []string{w.Address}, nil
	}
	lookup := w.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	hosts, err := lookup(ctx, host)
	if err != nil {
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			return nil, nil // a name without addresses: there is no broker
		}
		return nil, err
	}
	var out []string
	for _, h := range hosts {
		out = append(out, net.JoinHostPort(h, port))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func newBroker(at string) *broker {
	transport := &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: patience}
	b := &broker{client: &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		at = "broker"
	}
	b.url = "http://" + at + gatewayconfig.PathReport
	return b
}

// ask reports whether b has said something new, or has fallen silent.
func (b *broker) ask(ctx context.Context, secret string) bool {
	report, err := b.get(ctx, secret)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		b.silent++
		if b.silent < chances || b.report == nil {
			return false
		}
		b.report, b.tag = nil, ""
		return true
	}
	b.silent = 0
	if report == nil {
		return false
	}
	b.report = report
	return true
}

// get returns the report, nil if it is the one before.
func (b *broker) get(ctx context.Context, secret string) (*gatewayconfig.Report, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return nil, err
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if b.tag != "" {
		req.Header.Set("If-None-Match", b.tag)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return nil, nil
	case http.StatusOK:
	default:
		return nil, fmt.Errorf("brokers: HTTP status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return nil, err
	}
	report := new(gatewayconfig.Report)
	// Not strictly: a newer broker may tell more.
	if err := json.Unmarshal(body, report); err != nil {
		return nil, err
	}
	b.tag = resp.Header.Get("ETag")
	return report, nil
}

func reports(known map[string]*broker) []gatewayconfig.Report {
	addresses := make([]string, 0, len(known))
	for at := range known {
		addresses = append(addresses, at)
	}
	slices.Sort(addresses)
	out := []gatewayconfig.Report{}
	for _, at := range addresses {
		if r := known[at].report; r != nil {
			out = append(out, *r)
		}
	}
	return out
}
