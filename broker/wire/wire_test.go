package wire_test

import (
	"net/http/httptest"
	"testing"

	"mcp-gateway/broker/wire"
)

func TestError(t *testing.T) {
	t.Parallel()
	for want, id := range map[string]string{
		`{"jsonrpc":"2.0","id":1.0,"error":{"code":-32603,"message":"a \"b\"","data":{"n":1e2}}}`:  "1.0",
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"a \"b\"","data":{"n":1e2}}}`: "",
	} {
		w := httptest.NewRecorder()
		wire.Error(w, 503, []byte(id), -32603, `a "b"`, []byte(`{"n":1e2}`))
		got := w.Result()
		if w.Body.String() != want || got.StatusCode != 503 || got.ContentLength != int64(len(want)) || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %v %s", got.StatusCode, got.Header, w.Body)
		}
	}
}
