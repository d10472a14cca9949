package mcp

import (
	"strings"
	"testing"
)

func TestLostSession(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		want   bool
	}{
		{404, "", true},
		{404, `{"error":"no such tool"}`, true},
		{400, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`, true},
		{400, "Invalid Session ID", true},
		{400, `{"jsonrpc":"2.0","error":{"code":-32602,"message":"bad arguments"},"id":1}`, false},
		{400, "", false},
		{400, strings.Repeat("x", LongestRefusal) + "session", false},
		{200, "session", false},
		{500, "session", false},
	} {
		if got := LostSession(tt.status, []byte(tt.body), false); got != tt.want {
			t.Errorf("%d %.40q: %v, want %v", tt.status, tt.body, got, tt.want)
		}
	}
}

func TestAnswerIsNoLostSession(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{404: "no such tool", 400: "no such session in arguments"} {
		if LostSession(status, []byte(body), true) {
			t.Errorf("%d %s", status, body)
		}
	}
	if !LostSession(400, []byte(`{"jsonrpc":"2.0","id":1,"error":{"code": -32022,"message":"Unsupported protocol version: 2025-11-25"}}`), true) {
		t.Error("a server without sessions took the place of one")
	}
	if !LostSession(404, []byte("Session not found"), true) {
		t.Error("404 about the session under the request's id")
	}
}
