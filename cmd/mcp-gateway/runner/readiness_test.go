package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker"
	"mcp-gateway/broker/upstream"
)

// The log says ready when /readyz does, and before that what is waited for, once.
func TestReadyIsToldWhenItIsTrue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		r := readiness{log: zap.New(core), start: time.Now(), endpoint: "http://x/mcp"}
		s := broker.Status{Servers: []broker.ServerStatus{
			{Name: "fine", State: upstream.Ready},
			{Name: "down", State: upstream.Failed},
			{Name: "slow", State: upstream.Connecting},
			{Name: "kept", State: upstream.Ready, Integrity: &broker.IntegrityStatus{Pending: true}},
			{Name: "changed", State: upstream.Ready, Integrity: &broker.IntegrityStatus{Withheld: 1}},
		}}
		look := r.tell(s)
		if n := logs.Len(); look == nil || n != 0 {
			t.Fatalf("%d lines at once", n)
		}
		for range 3 * readyPatience / readyPause {
			<-look
			look = r.tell(s)
		}
		s.Ready = true
		if r.tell(s) != nil {
			t.Error("looks on after it is ready")
		}
		var got []map[string]any
		for _, l := range logs.All() {
			fields := l.ContextMap()
			fields["message"] = l.Message
			got = append(got, fields)
		}
		want := []map[string]any{
			{"message": "clients are served, but the gateway is not ready", "endpoint": "http://x/mcp", "waiting": []any{
				"slow has not answered yet", "kept offers nothing until what was trusted of it can be read and kept (integrity.pins)",
			}},
			{"message": "ready", "endpoint": "http://x/mcp", "after": 3 * time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
