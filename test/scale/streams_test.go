package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/bench/proc"
	"mcp-gateway/test/e2e/harness"
)

// Most resident memory of the broker for each session with an open event stream,
// in bytes, by the number of servers that the session has called before.
var mostPerStream = map[int]int64{0: 24 << 10, 1: 40 << 10, 3: 56 << 10}

// resident is the resident memory of a process in bytes.
func resident(t testing.TB, p *harness.Process) int64 {
	t.Helper()
	tree, err := proc.Tree(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	return tree[0].RSS
}

// listeners are clients over HTTP/2, as most are behind TLS: their streams share
// connections, of which this test could not have enough.
func listeners(t testing.TB, clients int, url string) *crowd {
	t.Helper()
	c := newCrowd(t, clients, url)
	transport := c.http.Transport.(*http.Transport)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	c.http.Timeout = 0
	return c
}

// listen opens the event stream of a client until ctx ends. A store that is slow on
// a busy machine may have it tried again, as a client does.
func (c *crowd) listen(ctx context.Context, client int) (err error) {
	for range 3 {
		if err = c.listenOnce(ctx, client); err == nil {
			return nil
		}
	}
	return err
}

func (c *crowd) listenOnce(ctx context.Context, client int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.urls[0], nil)
	if err != nil {
		return err
	}
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Mcp-Session-Id": {c.sessions[client]}, "Mcp-Protocol-Version": {"2025-11-25"}}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("GET: %s: %s", resp.Status, why)
	}
	return nil
}

// streams is how many event streams the broker says it has.
func streams(t testing.TB, internal string) int {
	t.Helper()
	resp, err := http.Get("http://" + internal + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct{ Streams int }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Streams
}

// must is f for many clients, at most width at a time, none of which may fail.
func must(t *testing.T, clients, width int, f func(client int) error) {
	t.Helper()
	var mu sync.Mutex
	var failed []error
	deciding(clients, width, func(i int) {
		if err := f(i); err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		}
	})
	if len(failed) > 0 {
		t.Fatalf("%d of %d failed: %v", len(failed), clients, failed[0])
	}
}

// Many sessions hold their event streams open in one broker, through one Envoy,
// with their records in Redis: what each costs the broker, Envoy and Redis, idle,
// with a stream, and afterwards. Where each has called servers before, the broker
// holds a stream at each of those, too; of these a machine that allows a process
// 20,000 files can have fewer.
func TestManyStreams(t *testing.T) {
	for _, of := range []struct{ servers, full, short int }{{0, 10_000, 2000}, {1, 9000, 1000}, {3, 4500, 500}} {
		t.Run(fmt.Sprintf("servers=%d", of.servers), func(t *testing.T) {
			holdStreams(t, size(t, fmt.Sprintf("STREAMS%d", of.servers), of.full, of.short), of.servers)
		})
	}
}

func holdStreams(t *testing.T, n, called int) {
	store := redistest.Start(t)
	config := harness.Config{
		Sessions: []string{"store: " + store.URL()},
		Limits:   []string{"sessionsPerAddress: 0", "streamsPerAddress: 0"}, // all come from one
	}
	var servers []*server
	for i := range max(1, called) {
		s := serve(t, fmt.Sprintf("s%d", i), 10)
		servers = append(servers, s)
		config.Servers = append(config.Servers, s.behind())
	}
	p := harness.RunParts(t, config)
	c := listeners(t, n, p.URL)
	title := func(what string) string { return fmt.Sprintf("%d streams, %d servers each: %s", n, called, what) }
	each := func(from, to int64) float64 { return float64(to-from) / float64(n) / 1000 }

	empty, kept, keys := resident(t, p.Broker), redisBytes(t, store), store.Command("DBSIZE") // of a session that tried the gateway
	must(t, n, 32, func(i int) error { return c.initialize(i, 0, fmt.Sprintf("client-%d", i)) })
	must(t, n, 32, func(i int) error {
		for _, s := range servers[:called] {
			if err := c.call(i, 0, s.name, fmt.Sprintf("client-%d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	idle, envoyIdle := resident(t, p.Broker), resident(t, p.Envoy)
	figure(t, title("a session in Redis"), "%.2f kB", float64(redisBytes(t, store)-kept)/float64(n)/1000)
	figure(t, title("broker before, and with idle sessions"), "%.1f MB, %.1f MB", float64(empty)/1e6, float64(idle)/1e6)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	began := time.Now()
	must(t, n, 32, func(i int) error { return c.listen(ctx, i) })
	figure(t, title("to open all streams"), "%v", rounded(time.Since(began)))
	harness.Eventually(t, "all streams", func() bool {
		for _, s := range servers[:called] {
			if s.streams.Load() < int64(n) {
				return false
			}
		}
		return streams(t, p.Internal) == n
	})
	// As much as the broker has had at any time since, so nothing depends on when
	// it last collected garbage.
	with := resident(t, p.Broker)
	figure(t, title("resident memory of the broker, each"), "%.1f kB (%.0f MB in all)", each(idle, with), float64(with)/1e6)
	figure(t, title("resident memory of Envoy, each"), "%.1f kB", each(envoyIdle, resident(t, p.Envoy)))
	if got, most := (with-idle)/int64(n), mostPerStream[called]; got > most {
		t.Errorf("a stream takes %d bytes of the broker's memory, want at most %d", got, most)
	}

	leave()
	harness.Eventually(t, "end of all streams", func() bool { return streams(t, p.Internal) == 0 })
	must(t, n, 32, func(i int) error { return c.end(i) })
	harness.Eventually(t, "end of all sessions at the servers", func() bool {
		for _, s := range servers[:called] {
			if s.ended() < n || s.streams.Load() > 1 { // the broker's own
				return false
			}
		}
		return true
	})
	harness.Eventually(t, "end of all keys", func() bool { return store.Command("DBSIZE") == keys })

	// What was free could be used again: the same once more takes no more.
	must(t, n, 32, func(i int) error { c.sessions[i] = ""; return c.initialize(i, 0, fmt.Sprintf("again-%d", i)) })
	ctx, leave = context.WithCancel(t.Context())
	defer leave()
	must(t, n, 32, func(i int) error { return c.listen(ctx, i) })
	harness.Eventually(t, "all streams again", func() bool { return streams(t, p.Internal) == n })
	again := resident(t, p.Broker)
	figure(t, title("broker, when all have left and come again"), "%.0f MB", float64(again)/1e6)
	if again > with+with/4 {
		t.Errorf("the broker has %d bytes, and had %d before the clients left and came again", again, with)
	}
	leave()
	harness.Eventually(t, "end of all streams", func() bool { return streams(t, p.Internal) == 0 })
	must(t, n, 32, func(i int) error { return c.end(i) })
	if !isShort() {
		awaitFree(t, p, title, idle, with)
	}
}

// awaitFree waits until the broker has given most of its memory back: Go collects
// garbage every two minutes when nothing happens, and returns it slowly.
func awaitFree(t *testing.T, p *harness.Parts, title func(string) string, idle, with int64) {
	t.Helper()
	began, tick := time.Now(), time.NewTicker(time.Second)
	defer tick.Stop()
	for now := range tick.C {
		left := resident(t, p.Broker)
		if left <= idle+(with-idle)/3 || now.Sub(began) > 5*time.Minute {
			figure(t, title("broker, when all have left"), "%.0f MB after %v", float64(left)/1e6, now.Sub(began).Round(time.Second))
			if left > idle+(with-idle)/3 {
				t.Errorf("%d bytes are left of %d", left, with)
			}
			return
		}
	}
}

// redisBytes is what Redis has in use, without the buffers of its clients.
func redisBytes(t testing.TB, store *redistest.Server) int64 {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: store.Addr()})
	defer func() { _ = client.Close() }()
	info, err := client.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) int64 {
		_, rest, _ := strings.Cut(info, "\n"+name+":")
		number, _, _ := strings.Cut(rest, "\r")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return field("used_memory") - field("mem_clients_normal")
}
