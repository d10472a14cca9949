package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
)

// TestLostPlaceComesFree: a broker died between a session's end and the return of
// its place.
func TestLostPlaceComesFree(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	now := time.Unix(1_700_000_000, 0)
	server.SetTime(now)
	st := open(t, redis.Options{Timeouts: usual, URL: "redis://" + server.Addr()})
	admit := func() error {
		return st.Create(t.Context(), session.Session{ID: session.NewID(), Principal: "p"}, session.Caps{Principal: 200})
	}
	for range 200 {
		if err := admit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range server.Keys() {
		if strings.Contains(key, ":s:") {
			server.Del(key)
		}
	}
	if err := admit(); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("before its time: got error %v, want ErrTooMany", err)
	}
	server.SetTime(now.Add(usual.Idle))
	if err := admit(); err != nil {
		t.Error(err)
	}
	server.FastForward(usual.Lifetime + 2*time.Hour)
	if keys := server.Keys(); len(keys) != 0 {
		t.Errorf("%d keys stay for ever, as %s", len(keys), keys[0])
	}
}
