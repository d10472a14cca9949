package kubernetes

import (
	"testing"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

func TestWhatPassesIsNotTold(t *testing.T) {
	t.Parallel()
	now, s := time.Unix(1000, 0), &settler{}
	for _, step := range []struct {
		after   time.Duration
		is, got gatewayconfig.ServerState
		held    bool
	}{
		{0, gatewayconfig.ServerConnecting, gatewayconfig.ServerConnecting, false}, // it was never ready
		{time.Second, gatewayconfig.ServerFailed, gatewayconfig.ServerFailed, false},
		{time.Second, gatewayconfig.ServerReady, gatewayconfig.ServerReady, false},
		{time.Hour, gatewayconfig.ServerFailed, gatewayconfig.ServerReady, true},
		{grace / 2, gatewayconfig.ServerConnecting, gatewayconfig.ServerReady, true},
		{grace / 2, gatewayconfig.ServerFailed, gatewayconfig.ServerFailed, false},
		{grace / 2, gatewayconfig.ServerFailed, gatewayconfig.ServerFailed, false}, // and it stays so
		{time.Second, gatewayconfig.ServerReady, gatewayconfig.ServerReady, false},
		{time.Second, gatewayconfig.ServerFailed, gatewayconfig.ServerReady, true},
		{time.Second, gatewayconfig.ServerReady, gatewayconfig.ServerReady, false},
		{grace - time.Second, gatewayconfig.ServerFailed, gatewayconfig.ServerReady, true}, // the time begins anew
		{time.Second, gatewayconfig.ServerBlocked, gatewayconfig.ServerBlocked, false},     // what is not trusted is told at once
	} {
		now = now.Add(step.after)
		in := []gatewayconfig.Report{{Servers: []gatewayconfig.ServerReport{{Name: "a", State: step.is}}}}
		out, held := s.settle(in, now)
		if got := out[0].Servers[0].State; got != step.got || held != step.held {
			t.Errorf("at %s %s is told as %s (held %v)", now.UTC().Format(time.TimeOnly), step.is, got, held)
		}
		if in[0].Servers[0].State != step.is {
			t.Error("the report itself was changed")
		}
	}
}
