package redis_test

import (
	"os"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
)

// TestMain points the client's log, one per process, at the one that TestLogTo
// reads.
func TestMain(m *testing.M) {
	core, logged := observer.New(zapcore.DebugLevel)
	clientLog = logged
	redis.LogTo(zap.New(core))
	os.Exit(m.Run())
}

var clientLog *observer.ObservedLogs

func TestLogTo(t *testing.T) {
	t.Parallel()
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: "redis://127.0.0.1:1"}) // nobody listens there
	wantUnavailable(t, "Get", func() error { _, err := st.Get(t.Context(), session.NewID()); return err })
	if clientLog.FilterMessage("redis client").Len() == 0 {
		t.Error("a failed connection left no line in the log")
	}
}
