package security

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// oldServer is an HTTP+SSE server whose stream names any endpoint.
type oldServer struct {
	url   string
	asked atomic.Int64
}

func sseServer(t *testing.T, endpoint string) *oldServer {
	t.Helper()
	s := &oldServer{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", endpoint)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	s.url = web.URL + "/sse"
	return s
}
