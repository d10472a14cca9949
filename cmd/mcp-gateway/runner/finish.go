package runner

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// finishTick is how often it is looked whether calls are under way.
	finishTick = 50 * time.Millisecond
	// quietTicks is for how many looks in a row there must be none: Envoy and broker
	// are not asked at the same moment.
	quietTicks = 3
	// adminTimeout bounds a question to Envoy's admin interface.
	adminTimeout = 500 * time.Millisecond
)

// finish lets the calls end that an Envoy has, while it takes no new connections.
type finish struct {
	client *http.Client
	base   string
	// lasting is how many requests are open that do not end by themselves: event
	// streams of clients.
	lasting func() int
	log     *zap.Logger
}

// newFinish speaks to the Envoy whose admin interface listens at admin, "unix:/path"
// or "host:port".
func newFinish(admin string, lasting func() int, log *zap.Logger) *finish {
	f := &finish{client: &http.Client{Timeout: adminTimeout}, base: "http://" + admin, lasting: lasting, log: log}
	if path, ok := strings.CutPrefix(admin, "unix:"); ok {
		f.base = "http://envoy"
		f.client.Transport = &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		}
	}
	return f
}

// await closes Envoy's listeners, has it end each connection with an answer, and
// waits for the calls under way until ctx ends. An Envoy that does not answer has
// none any more.
func (f *finish) await(ctx context.Context) {
	for _, path := range []string{"/healthcheck/fail", "/drain_listeners"} {
		if _, err := f.ask(ctx, http.MethodPost, path); err != nil {
			f.log.Debug("Envoy cannot be drained", zap.Error(err))
			return
		}
	}
	tick := time.NewTicker(finishTick)
	defer tick.Stop()
	calls, told := 0, false
	for quiet := 0; quiet < quietTicks && ctx.Err() == nil; {
		active, err := f.active(ctx)
		if err != nil {
			f.log.Debug("Envoy does not tell of its calls", zap.Error(err))
			break
		}
		calls = active - f.lasting()
		if quiet++; calls > 0 {
			quiet = 0
			if !told {
				f.log.Info("waiting for calls under way", zap.Int("calls", calls))
				told = true
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if calls > 0 {
		f.log.Warn("calls under way are cut off", zap.Int("calls", calls))
	}
}

// activeRequests counts the requests that clients wait for: envoyconfig names the
// listener's statistics.
const activeRequests = "http.mcp.downstream_rq_active"

func (f *finish) active(ctx context.Context) (int, error) {
	text, err := f.ask(ctx, http.MethodGet, "/stats?filter=^"+strings.ReplaceAll(activeRequests, ".", `\.`)+"$")
	if err != nil {
		return 0, err
	}
	_, number, found := strings.Cut(strings.TrimSpace(text), ": ")
	if !found {
		return 0, fmt.Errorf("no %s in %q", activeRequests, text)
	}
	return strconv.Atoi(number)
}

func (f *finish) ask(ctx context.Context, method, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, f.base+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return string(text), err
}
