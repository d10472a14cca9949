package scale

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
)

// How many callers write records at the same time.
const writers = 64

// A real Redis with very many sessions in it: what each takes, what the store's
// steps take then, and the search for expired ones.
func TestManyRecords(t *testing.T) {
	n := size(t, "SESSIONS", 1_000_000, 20_000)
	const servers = 5
	due, opened := min(2000, n/10), min(20_000, n/10)
	at := redistest.Start(t)
	if got := at.Command("CONFIG", "SET", "appendonly", "no"); got != "+OK" {
		t.Fatal(got)
	}
	var clock atomic.Int64
	begin := time.Now().Truncate(time.Second)
	store, err := redis.New(redis.Options{
		Timeouts: session.Timeouts{Idle: 24 * time.Hour, Lifetime: 7 * 24 * time.Hour},
		URL:      at.URL() + fmt.Sprintf("?pool_size=%d", writers),
		Timeout:  10 * time.Second, // what is slow here is to be seen, not to fail
		Now:      func() time.Time { return begin.Add(time.Duration(clock.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	title := func(what string) string { return fmt.Sprintf("%d records in Redis: %s", n, what) }

	// These come first and are not counted: with them Redis gets the scripts, and
	// the connections their buffers.
	ids := make([]session.ID, n)
	create := func(i int) error { return store.Create(t.Context(), sessionOf(&ids[i]), session.Caps{}) }
	must(t, due, writers, create)
	must(t, due, writers, func(i int) error { return openAll(t, store, ids[i], servers) })
	clock.Add(int64(time.Hour))

	first := redisBytes(t, at)
	must(t, opened, writers, func(i int) error { return create(due + i) })
	began := time.Now()
	must(t, opened, writers, func(i int) error { return openAll(t, store, ids[due+i], servers) })
	took := time.Since(began)
	figure(t, title(fmt.Sprintf("to open %d backend sessions each", servers)), "%.0f claims and commits a second", float64(2*servers*opened)/took.Seconds())
	with := float64(redisBytes(t, at)-first) / float64(opened)
	figure(t, title(fmt.Sprintf("a session with %d servers", servers)), "%.0f bytes", with)
	if with > 1<<10 {
		t.Errorf("a session with %d servers takes %.0f bytes in Redis, want at most 1024", servers, with)
	}

	first, began = redisBytes(t, at), time.Now()
	rest := n - due - opened
	must(t, rest, writers, func(i int) error { return create(due + opened + i) })
	took = time.Since(began)
	figure(t, title("to create them, through the store"), "%.0f a second", float64(rest)/took.Seconds())
	figure(t, title("a session without servers"), "%.0f bytes", float64(redisBytes(t, at)-first)/float64(rest))
	figure(t, title("all that Redis has in use"), "%.0f MB", float64(redisBytes(t, at))/1e6)
	figure(t, title("Get, one caller"), "%s", latencies(t, store, ids[due:], 1))
	figure(t, title("Get, 64 callers"), "%s", latencies(t, store, ids[due:], writers))

	began = time.Now()
	if ended, err := store.Expired(t.Context(), 128); err != nil || len(ended) != 0 {
		t.Fatalf("%d expired, %v, want none", len(ended), err)
	}
	figure(t, title("a sweep that finds none"), "%v", rounded(time.Since(began)))
	clock.Store(int64(24*time.Hour + time.Minute))
	began = time.Now()
	for found := 0; found < due; {
		ended, err := store.Expired(t.Context(), 128)
		if err != nil || len(ended) == 0 {
			t.Fatalf("%d expired of %d, %v", found, due, err)
		}
		found += len(ended)
	}
	figure(t, title(fmt.Sprintf("to sweep %d expired ones", due)), "%v", rounded(time.Since(began)))
}

// What each of very many sessions takes in Redis where all have called five
// servers, of principals with three sessions each: as they are, and sealed. There are
// more than the 32,768 up to which the indexes have their compact form.
func TestRecordSizes(t *testing.T) {
	n := size(t, "RECORDS", 100_000, 40_000)
	const servers = 5
	for name, keys := range map[string][]string{"as it is": nil, "sealed": {"a key that nobody guesses"}} {
		t.Run(name, func(t *testing.T) {
			at := redistest.Start(t)
			if got := at.Command("CONFIG", "SET", "appendonly", "no"); got != "+OK" {
				t.Fatal(got)
			}
			store, err := redis.New(redis.Options{
				Timeouts: session.Timeouts{Idle: 24 * time.Hour, Lifetime: 7 * 24 * time.Hour},
				URL:      at.URL() + fmt.Sprintf("?pool_size=%d", writers), Timeout: 10 * time.Second, Keys: keys,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			ids := make([]session.ID, n)
			add := func(i int) error {
				s := sessionOf(&ids[i])
				s.Principal = fmt.Sprintf("%064x", i/3)
				if err := store.Create(t.Context(), s, session.Caps{Total: 2 * n, Principal: 10}); err != nil {
					return err
				}
				return openAll(t, store, s.ID, servers)
			}
			before := n / 10 // scripts and buffers, and the larger indexes begin
			must(t, before, writers, add)
			first := redisBytes(t, at)
			must(t, n-before, writers, func(i int) error { return add(before + i) })
			each := float64(redisBytes(t, at)-first) / float64(n-before)
			figure(t, fmt.Sprintf("%d records in Redis, %s: each with %d servers", n, name, servers), "%.0f bytes", each)
			k := ids[0].Key()
			figure(t, "   of which the hash (MEMORY USAGE)", "%s bytes", strings.TrimPrefix(at.Command("MEMORY", "USAGE", fmt.Sprintf("mcp:{%02x}:s:%s", k[0], k)), ":"))
			if each > 1<<10 {
				t.Errorf("a session takes %.0f bytes in Redis, want at most 1024", each)
			}
		})
	}
}

// sessionOf is a session as a common client opens one, under a new id.
func sessionOf(id *session.ID) session.Session {
	*id = session.NewID()
	return session.Session{
		ID: *id, Version: "2025-11-25", ClientInfo: []byte(`{"name":"claude-code","version":"2.0.14"}`),
		Capabilities: []byte(`{"roots":{"listChanged":true},"elicitation":{}}`),
	}
}

// openAll records backend sessions at some servers.
func openAll(t *testing.T, store session.Store, id session.ID, servers int) error {
	for i := range servers {
		server := fmt.Sprintf("server%d", i)
		c, err := store.Claim(t.Context(), id, server, time.Minute)
		if err != nil {
			return err
		}
		// A UUID is what most servers give.
		b := session.Backend{ID: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.Uint32(), rand.N(1<<16), rand.N(1<<12), rand.N(1<<12), rand.N(1<<47)), Version: "2025-11-25"}
		won, err := store.Commit(t.Context(), id, server, c.Token, b)
		if err != nil {
			return err
		}
		if !won {
			return fmt.Errorf("commit at %s is lost", server)
		}
	}
	return nil
}

// latencies gets sessions by chance and tells how long that took.
func latencies(t *testing.T, store session.Store, ids []session.ID, callers int) string {
	t.Helper()
	const each = 10_000
	var mu sync.Mutex
	var times []time.Duration
	began := time.Now()
	must(t, each, callers, func(int) error {
		began := time.Now()
		_, err := store.Get(t.Context(), ids[rand.N(len(ids))])
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		times = append(times, took)
		return err
	})
	return fmt.Sprintf("p50 %v, p99 %v, %.0f a second", rounded(quantile(times, .5)), rounded(quantile(times, .99)), each/time.Since(began).Seconds())
}
