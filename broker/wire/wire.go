// Package wire writes JSON-RPC messages as answers to HTTP requests.
package wire

import (
	"net/http"
	"strconv"

	"mcp-gateway/internal/jsonrpc"
)

// JSON answers with one message, or a batch. Most callers need not know that
// nobody reads it.
func JSON(w http.ResponseWriter, status int, message []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(message)))
	w.WriteHeader(status)
	_, err := w.Write(message)
	return err
}

// Error answers with a JSON-RPC error: id is the request's, raw, empty if it is
// unknown; data is raw JSON, empty for none. The message goes to clients: no
// addresses in it.
func Error(w http.ResponseWriter, status int, id []byte, code int, message string, data []byte) {
	// A client that is gone needs no answer.
	_ = JSON(w, status, jsonrpc.AppendError(nil, id, code, message, data))
}
