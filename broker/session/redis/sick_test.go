package redis_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
)

// writes are the calls that a Redis which takes nothing cannot do; what is left
// of calls it can.
var writes = []string{"Create", "Claim", "SetLevel", "Subscribe"}

// sick is a store with sessions on a Redis that a test makes refuse writes. Some
// of them are to have their deadline moved with the next use.
type sick struct {
	*redis.Store
	server *redistest.Server
	all    map[string]session.ID
}

func newSick(t *testing.T, server *redistest.Server) *sick {
	t.Helper()
	var passed atomic.Int64
	begin := time.Now()
	st := openAsIs(t, redis.Options{
		Timeouts: usual, URL: server.URL(),
		Now: func() time.Time { return begin.Add(time.Duration(passed.Load())) },
	})
	s := &sick{st, server, population(t, st, 5)}
	passed.Store(int64(usual.Idle/2 + time.Minute))
	return s
}

// wantReads wants all that reads, and uses of what is there, to go on.
func (s *sick) wantReads(t *testing.T) {
	t.Helper()
	for name, id := range s.all {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Errorf("Get: %v", err)
		}
		c, err := s.Claim(t.Context(), id, "weather", time.Minute)
		if err != nil || c.State != session.Have || c.Backend.ID != name {
			t.Errorf("Claim of what is there: got %+v, %v", c, err)
		}
	}
	for _, name := range []string{"Backends", "Settings", "Send"} {
		if err := calls(t, s, s.all["b0"])[name](); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantRefused wants the calls to fail in time.
func (s *sick) wantRefused(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		wantUnavailable(t, name, calls(t, s, s.all["b0"])[name])
	}
}

// wantWell wants everything to be there and to be done again.
func (s *sick) wantWell(t *testing.T) {
	t.Helper()
	for _, name := range writes {
		eventually(t, calls(t, s, s.all["b0"])[name])
	}
	for name, id := range s.all {
		if c, err := s.Claim(t.Context(), id, "weather", time.Minute); err != nil || c.Backend.ID != name {
			t.Errorf("Claim: got %+v, %v", c, err)
		}
		eventually(t, func() error { _, err := s.Delete(t.Context(), id); return err })
	}
}

func TestRedisWithoutMemory(t *testing.T) {
	t.Parallel()
	s := newSick(t, redistest.Start(t, "--maxmemory-policy", "noeviction"))
	s.server.Must("CONFIG", "SET", "maxmemory", "1")
	for _, caps := range []session.Caps{{}, {Principal: 5}} {
		v := session.Session{ID: session.NewID(), Principal: "p"}
		if err := s.Create(t.Context(), v, caps); !errors.Is(err, session.ErrFull) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("Create: got error %v, want ErrFull", err)
		}
		if _, err := s.Get(t.Context(), v.ID); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Get of what was not created: got error %v, want ErrNotFound", err)
		}
	}
	s.wantRefused(t, writes[1:]...)
	s.wantReads(t)
	// What ends makes room.
	if held, err := s.Delete(t.Context(), s.all["b1"]); err != nil || len(held) != 1 {
		t.Errorf("Delete: got %v, %v, want a backend session", held, err)
	}
	delete(s.all, "b1")
	if _, err := s.Expired(t.Context(), 10); err != nil {
		t.Errorf("Expired: %v", err)
	}
	s.server.Must("CONFIG", "SET", "maxmemory", "0")
	s.wantWell(t)
}

// TestReadOnlyRedis is what a master is after a failover that this client has not
// heard of.
func TestReadOnlyRedis(t *testing.T) {
	t.Parallel()
	s := newSick(t, redistest.Start(t))
	s.server.Must("REPLICAOF", "127.0.0.1", "1")
	s.wantRefused(t, append(slices.Clone(writes), "Delete")...)
	s.wantReads(t)
	s.server.Must("REPLICAOF", "NO", "ONE")
	s.wantWell(t)
}

// TestRedisWithoutDisk cannot save, and takes nothing while it cannot.
func TestRedisWithoutDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocked := filepath.Join(dir, "dump.rdb", "x") // a folder is where the file is to be
	s := newSick(t, redistest.Start(t, "--dir", dir, "--appendonly", "no", "--save", "3600 1"))
	if err := os.MkdirAll(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	saves := func(state string) {
		t.Helper()
		s.server.Await(func(info string) bool {
			return strings.Contains(info, "rdb_bgsave_in_progress:0") && strings.Contains(info, "rdb_last_bgsave_status:"+state)
		}, "INFO", "persistence")
	}
	s.server.Command("BGSAVE")
	saves("err")
	s.wantRefused(t, append(slices.Clone(writes), "Delete")...)
	s.wantReads(t)
	if err := os.RemoveAll(filepath.Dir(blocked)); err != nil {
		t.Fatal(err)
	}
	s.server.Command("BGSAVE")
	saves("ok")
	s.wantWell(t)
}

func TestLoadingRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: server.URL()})
	all := population(t, st, 300)
	server.Kill()
	server.RestartSlowly(200 * time.Microsecond)
	server.Await(func(answer string) bool { return strings.HasPrefix(answer, "-LOADING") }, "GET", "x")
	wantUnavailable(t, "Get", func() error { _, err := st.Get(t.Context(), all["b0"]); return err })
	wantAll(t, st, all)
}

// TestForgottenScripts: a Redis knows scripts until it restarts or is told to
// forget them.
func TestForgottenScripts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := openAsIs(t, redis.Options{Timeouts: usual, URL: server.URL()})
	id := create(t, st)
	for name, call := range calls(t, st, id) {
		if name == "Delete" {
			continue
		}
		server.Must("SCRIPT", "FLUSH")
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Must("SCRIPT", "FLUSH")
	if _, err := st.Delete(t.Context(), id); err != nil {
		t.Errorf("Delete: %v", err)
	}
}
