package upstream

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// A server of HTTP+SSE that is configured without its transport refuses every
// POST to the URL of its stream.
func TestServerOfAnOlderTransportIsTold(t *testing.T) {
	t.Parallel()
	const hint = "configure transport: sse"
	stream := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	const endpoint = ": hi\n\nevent: endpoint\ndata: /messages?s=key\n\n"
	for name, test := range map[string]struct {
		post int
		get  http.HandlerFunc
		told bool
	}{
		"not found":     {404, stream(endpoint), true},
		"not allowed":   {405, stream(endpoint), true},
		"bad request":   {400, stream(endpoint), true},
		"unauthorized":  {401, stream(endpoint), false},
		"in trouble":    {503, stream(endpoint), false},
		"other event":   {405, stream("data: {}\n\nevent: endpoint\ndata: /m\n\n"), false},
		"silent stream": {405, stream(""), false},
		"endless event": {405, stream("event: endpoint\ndata: " + strings.Repeat("x", 1<<20)), false},
		"no stream": {404, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "event: endpoint\ndata: /m\n\n")
		}, false},
		"no GET":             {405, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }, false},
		"stream that breaks": {405, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, false},
	} {
		for _, era := range []gatewayconfig.Era{gatewayconfig.EraAuto, gatewayconfig.EraLegacy} {
			t.Run(name+" "+string(era), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					transport, _ := rawserver.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Method == http.MethodGet {
							test.get(w, r)
							return
						}
						w.WriteHeader(test.post)
					}))
					s := newServer(t, transport, func(cfg *gatewayconfig.Server, _ *Options) { cfg.Era = era })
					s.timing.retryMin, s.timing.retryMax = time.Hour, time.Hour
					stop := run(t, s)
					time.Sleep(2 * olderPatience) // of the bubble's clock
					synctest.Wait()
					now := s.Snapshot()
					stop()
					if now.State != Failed || strings.Contains(now.Err.Error(), hint) != test.told || strings.Contains(now.Err.Error(), "key") {
						t.Errorf("%s: %v", now.State, now.Err)
					}
				})
			})
		}
	}
}
