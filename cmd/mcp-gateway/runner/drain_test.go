package runner

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A replica that is to end serves what comes, but says so.
func TestDrain(t *testing.T) {
	t.Parallel()
	var d drain
	h := d.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	ask := func(path string) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Result()
	}
	for _, path := range []string{"/readyz", "/v1/table"} {
		if r := ask(path); r.StatusCode != 204 || r.Header.Get("Connection") != "" {
			t.Errorf("before: %s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	d.begin()
	for path, want := range map[string]int{"/readyz": 503, "/v1/table": 204} {
		if r := ask(path); r.StatusCode != want || r.Header.Get("Connection") != "close" {
			t.Errorf("after: %s: %d %v", path, r.StatusCode, r.Header)
		}
	}
}
