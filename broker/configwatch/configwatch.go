// Package configwatch brings the configuration from the control plane to a
// broker that runs apart from it: it asks for gatewayconfig.Broker, hands each
// new one to Apply, and waits for the next with a long poll. The last one stays
// in force for as long as the control plane is away.
package configwatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
)

const (
	// wait is how long the control plane may hold the answer back until there
	// is something new (RFC 7240, section 4.3).
	wait = 25 * time.Second
	// patience is how much longer an answer may take.
	patience = 10 * time.Second
	// pause is the least time between two questions with the same answer, for a
	// control plane that does not wait.
	pause = time.Second
	// largest bounds a configuration in bytes.
	largest = 16 << 20

	retryMin = 200 * time.Millisecond
	retryMax = 5 * time.Second
)

// Options say where the configuration comes from and where it goes.
type Options struct {
	// URL is the control plane's: http://host:port, https://host:port, or
	// unix:///path/of/socket.
	URL string
	// Secret is sent as bearer token; empty for none.
	Secret string
	// Apply takes each configuration that differs from the one before. If it
	// fails, that is logged, and the next call comes with the next difference.
	Apply func(gatewayconfig.Broker) error
	Log   *zap.Logger
	// Transport makes the requests; nil means one that fits URL.
	Transport http.RoundTripper
}

// watcher is the state between two questions.
type watcher struct {
	Options
	http    *outbound.Client
	address string
	tag     string // ETag of the last answer
	last    []byte // the last answer
}

// Run watches until ctx ends and then returns nil. It fails at once for a URL
// that is none.
func Run(ctx context.Context, o Options) error {
	w, err := newWatcher(o)
	if err != nil {
		return err
	}
	defer w.http.CloseIdleConnections()
	retry := backoff.Backoff{Min: retryMin, Max: retryMax}
	away := false
	for ctx.Err() == nil {
		began := time.Now()
		changed, err := w.ask(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if !away {
				away = true
				w.Log.Warn("control plane gives no configuration, keeping the last one", zap.Error(err))
			}
			_ = retry.Wait(ctx)
		default:
			if away {
				away = false
				w.Log.Info("control plane is back")
			}
			retry.Reset()
			if !changed {
				_ = backoff.Sleep(ctx, pause-time.Since(began))
			}
		}
	}
	return nil
}

func newWatcher(o Options) (*watcher, error) {
	// No error quotes the URL: it may hold a password.
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("control plane: its address is no URL")
	}
	direct := outbound.NewTransport(patience, nil)
	switch {
	case u.Scheme == "unix" && u.Path != "" && u.Host == "":
		socket, dialer := u.Path, &net.Dialer{Timeout: patience}
		direct.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
		u = &url.URL{Scheme: "http", Host: "controlplane"}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return nil, fmt.Errorf("control plane: %q is no URL with http, https or unix", u.Redacted())
	}
	var transport http.RoundTripper = direct
	if o.Transport != nil {
		transport = o.Transport
	}
	return &watcher{
		Options: o, address: u.JoinPath(gatewayconfig.PathConfig).String(), http: outbound.NewClient(transport),
	}, nil
}

// ask asks once and applies what is new. Changed is false if the control plane
// answered with what is known already.
func (w *watcher) ask(ctx context.Context) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.address, nil)
	if err != nil {
		return false, err
	}
	if w.tag != "" {
		req.Header.Set("If-None-Match", w.tag)
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	if w.Secret != "" {
		req.Header.Set("Authorization", "Bearer "+w.Secret)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return false, nil
	case http.StatusOK:
	default:
		return false, fmt.Errorf("the control plane answers with HTTP status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, largest+1))
	if err != nil {
		return false, fmt.Errorf("read the configuration: %w", err)
	}
	if len(body) > largest {
		return false, fmt.Errorf("the configuration has more than %d bytes", largest)
	}
	return w.take(strings.TrimSpace(resp.Header.Get("ETag")), body)
}

// take applies a configuration unless it is the one before. What cannot be
// applied is not asked for again: only a change can make it better.
func (w *watcher) take(tag string, body []byte) (changed bool, err error) {
	var config gatewayconfig.Broker
	if err := gatewayconfig.Decode(body, &config); err != nil {
		return false, fmt.Errorf("decode the configuration: %w", err)
	}
	w.tag = tag
	if bytes.Equal(body, w.last) {
		return false, nil
	}
	w.last = body
	if err := w.Apply(config); err != nil {
		w.Log.Error("configuration refused, keeping the last one", zap.Error(err))
	}
	return true, nil
}
