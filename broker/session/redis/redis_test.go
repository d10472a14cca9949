package redis_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/broker/session/sessiontest"
	"mcp-gateway/internal/redisaddr"
)

// patient is for tests whose load a busy machine does not answer in time.
const patient = 20 * time.Second

var usual = session.Timeouts{Idle: time.Hour, Lifetime: 24 * time.Hour}

// open returns a store that is patient unless o says otherwise.
func open(tb testing.TB, o redis.Options) *redis.Store {
	tb.Helper()
	o.Timeout = cmp.Or(o.Timeout, patient)
	return openAsIs(tb, o)
}

// openAsIs returns a store for a Redis that may not answer.
func openAsIs(tb testing.TB, o redis.Options) *redis.Store {
	tb.Helper()
	st, err := redis.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return st
}

func create(tb testing.TB, st session.Store) session.ID {
	tb.Helper()
	s := session.Session{ID: session.NewID(), ClientInfo: []byte(`{"name":"x"}`)}
	eventually(tb, func() error { return st.Create(tb.Context(), s, session.Caps{}) })
	return s.ID
}

// commit makes b the backend session at server.
func commit(tb testing.TB, st session.Store, id session.ID, server string, b session.Backend) {
	tb.Helper()
	eventually(tb, func() error {
		c, err := st.Claim(tb.Context(), id, server, time.Millisecond)
		if err != nil {
			return err
		}
		won, err := st.Commit(tb.Context(), id, server, c.Token, b)
		if err == nil && !won && c.State != session.Have {
			return session.ErrUnavailable // its own claim, of which the answer was lost
		}
		return err
	})
}

func subscribe(tb testing.TB, st session.Store, id session.ID) {
	tb.Helper()
	eventually(tb, func() error {
		_, err := st.Subscribe(tb.Context(), id, session.Subscription{Server: "weather", URI: "file:///a"})
		return err
	})
}

// TestConformanceMiniredis runs on the clock of the server, as in production.
func TestConformanceMiniredis(t *testing.T) {
	t.Parallel()
	sessiontest.Run(t, func(t *testing.T, timeouts session.Timeouts) sessiontest.Fixture {
		server := miniredis.RunT(t)
		now := time.Unix(1_700_000_000, 0)
		server.SetTime(now)
		return sessiontest.Fixture{
			Open: func(tb testing.TB) session.Store {
				return open(tb, redis.Options{Timeouts: timeouts, URL: "redis://" + server.Addr()})
			},
			Advance: func(d time.Duration) {
				now = now.Add(d)
				server.SetTime(now)
				server.FastForward(d)
			},
			Dump: func(testing.TB) string { return server.Dump() },
		}
	})
}

func TestConformanceRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	conformance(t, redis.Options{URL: server.URL()}, []*redistest.Server{server})
}

// TestConformanceCluster shows that no script leaves its hash slot.
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t)
	conformance(t, redis.Options{URL: nodes[0].URL() + "?addr=" + nodes[1].Addr()}, nodes)
}

// conformance uses one Redis for all tests, by prefix, and a clock of its own.
func conformance(t *testing.T, o redis.Options, servers []*redistest.Server, each ...func(*redis.Options)) {
	var fixtures atomic.Int64
	sessiontest.Run(t, func(t *testing.T, timeouts session.Timeouts) sessiontest.Fixture {
		prefix := fmt.Sprintf("test%d:", fixtures.Add(1))
		var passed atomic.Int64
		return sessiontest.Fixture{
			Open: func(tb testing.TB) session.Store {
				o := o
				o.Timeouts, o.Prefix, o.Timeout = timeouts, prefix, patient
				o.Now = func() time.Time { return time.Unix(1_700_000_000, passed.Load()) }
				for _, change := range each {
					change(&o)
				}
				return open(tb, o)
			},
			Advance:      func(d time.Duration) { passed.Add(int64(d)) },
			SendsBlindly: len(servers) > 1,
			Dump: func(tb testing.TB) string {
				var out strings.Builder
				for _, s := range servers {
					dump(tb, &out, s.Addr())
				}
				return out.String()
			},
		}
	})
}

// clusterKeys are the keys of a node that begin with prefix.
func clusterKeys(t *testing.T, s *redistest.Server, prefix string) []string {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr()})
	defer c.Close()
	keys, err := c.Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// dump writes all keys and values.
func dump(tb testing.TB, out *strings.Builder, addr string) {
	tb.Helper()
	ctx := tb.Context()
	c := goredis.NewClient(&goredis.Options{Addr: addr})
	defer c.Close()
	keys := c.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		kind, err := c.Type(ctx, key).Result()
		if err != nil {
			tb.Fatal(err)
		}
		var value any
		switch kind {
		case "hash":
			value, err = c.HGetAll(ctx, key).Result()
		case "string":
			value, err = c.Get(ctx, key).Result()
		case "zset":
			value, err = c.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "set":
			value, err = c.SMembers(ctx, key).Result()
		case "list":
			value, err = c.LRange(ctx, key, 0, -1).Result()
		case "none": // another test removed it
		default:
			tb.Fatalf("key of type %s, which dump does not know", kind)
		}
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintln(out, key, value)
	}
	if err := keys.Err(); err != nil {
		tb.Fatal(err)
	}
}

// TestRealClock lets time pass as Redis counts it. What must not have ended
// before the test looks at it has an hour.
func TestRealClock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := open(t, redis.Options{Timeouts: usual, URL: server.URL()})
	id := create(t, st)

	// A replica dies while it opens; the next one gets the claim in time.
	if c, err := st.Claim(t.Context(), id, "weather", 40*time.Millisecond); err != nil || c.State != session.Claimed {
		t.Fatalf("Claim: got %+v, %v, want Claimed", c, err)
	}
	want := session.Backend{ID: "b"}
	got, err := session.NewOpener(st, time.Minute).Open(t.Context(), session.Request{
		ID: id, Server: "weather",
		Open:    func(context.Context) (session.Backend, error) { return want, nil },
		Discard: func(session.Backend) { t.Error("discarded the only backend session") },
	})
	if err != nil || got != want {
		t.Fatalf("Open: got %+v, %v, want %+v", got, err, want)
	}

	// Nobody uses this session any more.
	brief := open(t, redis.Options{Timeouts: session.Timeouts{Idle: 50 * time.Millisecond, Lifetime: time.Hour}, URL: server.URL()})
	left := create(t, brief)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		ended, err := brief.Expired(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(ended) == 1 && ended[0].Key == left.Key() {
			break
		}
	}
	if _, err := st.Get(t.Context(), id); err != nil {
		t.Errorf("the session that has time left: %v", err)
	}
}

// TestNothingStaysForever lets a Redis be that no broker uses any more.
func TestNothingStaysForever(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	st := open(t, redis.Options{Timeouts: usual, URL: "redis://" + server.Addr()})
	for range 20 {
		id := create(t, st)
		commit(t, st, id, "weather", session.Backend{ID: "b"})
		subscribe(t, st, id)
	}
	server.FastForward(usual.Idle)
	if len(server.Keys()) == 0 {
		t.Error("the records went with their deadline: Expired cannot hand out their backend sessions")
	}
	server.FastForward(2 * time.Hour)
	if keys := server.Keys(); len(keys) != 0 {
		t.Errorf("%d keys without a TTL, as %s", len(keys), keys[0])
	}
}

// keptForAgain is how long the answer to the end of a session is kept for one that
// asks again because it has not arrived.
const keptForAgain = 2 * patient

func TestEndedSessionLeavesNothing(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	server.SetTime(time.Unix(1_700_000_000, 0))
	st := open(t, redis.Options{Timeouts: usual, URL: "redis://" + server.Addr()})
	deleted, expired := create(t, st), create(t, st)
	subscribe(t, st, deleted)
	subscribe(t, st, expired)
	if _, err := st.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	server.FastForward(keptForAgain)
	if dump := server.Dump(); strings.Contains(dump, deleted.Key().String()) {
		t.Errorf("after Delete the store holds\n%s", dump)
	}
	server.SetTime(time.Unix(1_700_000_000, 0).Add(usual.Idle))
	if ended, err := st.Expired(t.Context(), 10); err != nil || len(ended) != 1 || ended[0].Key != expired.Key() {
		t.Fatalf("Expired: got %v, %v, want the session that is left", ended, err)
	}
	server.FastForward(keptForAgain)
	if dump := server.Dump(); dump != "" {
		t.Errorf("after Expired the store holds\n%s", dump)
	}
}

func TestWarmUseWritesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := open(t, redis.Options{Timeouts: usual, URL: server.URL()})
	id := create(t, st)
	commit(t, st, id, "weather", session.Backend{ID: "b"})
	// Its lifetime ends within half of the idle timeout: nothing to extend.
	old := open(t, redis.Options{Timeouts: session.Timeouts{Idle: 24 * time.Hour, Lifetime: time.Hour}, URL: server.URL()})
	ending := create(t, old)

	c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer c.Close()
	changes := func() string {
		t.Helper()
		info, err := c.InfoMap(t.Context(), "persistence").Result()
		if err != nil {
			t.Fatal(err)
		}
		return info["Persistence"]["rdb_changes_since_last_save"]
	}
	before := changes()
	for range 10 {
		if _, err := st.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Claim(t.Context(), id, "weather", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Get(t.Context(), ending); err != nil {
			t.Fatal(err)
		}
	}
	if after := changes(); before == "" || after != before {
		t.Errorf("changes since start: %q before, %q after, want no change", before, after)
	}
	create(t, st)
	if after := changes(); after == before {
		t.Error("the server does not count changes")
	}
}

func TestRefusesBadOptions(t *testing.T) {
	t.Parallel()
	const url = "redis://user:hunter2@127.0.0.1:1"
	for name, o := range map[string]redis.Options{
		"no timeouts":     {URL: url},
		"braces":          {Timeouts: usual, URL: url, Prefix: "{mcp}:"},
		"no URL":          {Timeouts: usual},
		"scheme":          {Timeouts: usual, URL: "http://user:hunter2@127.0.0.1:1"},
		"broken URL":      {Timeouts: usual, URL: "redis://user:hunter2@127.0.0.1:port"},
		"control byte":    {Timeouts: usual, URL: url + "\x7f"},
		"unknown option":  {Timeouts: usual, URL: url + "?poolsize=5"},
		"broken node":     {Timeouts: usual, URL: url + "?addr=nowhere:x"},
		"broken CA":       {Timeouts: usual, URL: "rediss://u:hunter2@r", TLS: redisaddr.TLS{CA: "hunter2"}},
		"cluster scheme":  {Timeouts: usual, URL: "http://user:hunter2@127.0.0.1:1?addr=127.0.0.1:2"},
		"database number": {Timeouts: usual, URL: url + "/x"},
	} {
		st, err := redis.New(o)
		if err == nil {
			st.Close()
			t.Errorf("%s: New accepted it", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestCommitRefusesColonInRevision(t *testing.T) {
	t.Parallel()
	st := open(t, redis.Options{Timeouts: usual, URL: "redis://" + miniredis.RunT(t).Addr()})
	id := create(t, st)
	c, err := st.Claim(t.Context(), id, "weather", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if won, err := st.Commit(t.Context(), id, "weather", c.Token, session.Backend{ID: "b", Version: "a:b"}); err == nil || won {
		t.Errorf("Commit: got %v, %v, want an error", won, err)
	}
}

func BenchmarkGet(b *testing.B) {
	st, id := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := st.Get(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHave(b *testing.B) {
	st, id := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if c, err := st.Claim(b.Context(), id, "weather", time.Minute); err != nil || c.State != session.Have {
			b.Fatal(c, err)
		}
	}
}

func warm(b *testing.B) (*redis.Store, session.ID) {
	b.Helper()
	st := open(b, redis.Options{Timeouts: usual, URL: redistest.Start(b).URL()})
	id := create(b, st)
	commit(b, st, id, "weather", session.Backend{ID: "b"})
	return st, id
}
