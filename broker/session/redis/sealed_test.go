package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
)

const (
	oldKey = "old-key-hunter2-hunter2-hunter2-hunter2"
	newKey = "new-key-hunter2-hunter2-hunter2-hunter2"
)

func TestConformanceSealed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	conformance(t, redis.Options{URL: server.URL(), Keys: []string{oldKey}}, []*redistest.Server{server})
}

// TestConformanceRotation has replicas that seal with different keys.
func TestConformanceRotation(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var handles atomic.Int64
	conformance(t, redis.Options{URL: server.URL()}, []*redistest.Server{server}, func(o *redis.Options) {
		if o.Keys = []string{oldKey, newKey}; handles.Add(1)%2 == 0 {
			o.Keys = []string{newKey, oldKey}
		}
	})
}

// secretive has something to hide in all that a store keeps.
func secretive() session.Session {
	return session.Session{
		ID: session.NewID(), Version: "2025-11-25", Endpoint: "s3cret-endpoint", Principal: "s3cret-principal",
		ClientInfo: []byte(`{"name":"s3cret-client"}`), Capabilities: []byte(`{"s3cret-capability":{}}`),
	}
}

// fill gives a session something of everything.
func fill(t *testing.T, st session.Store, s session.Session) {
	t.Helper()
	if err := st.Create(t.Context(), s, session.Caps{Principal: 100}); err != nil {
		t.Fatal(err)
	}
	commit(t, st, s.ID, "weather", session.Backend{ID: "s3cret-backend", Version: "2025-06-18"})
	if _, err := st.Subscribe(t.Context(), s.ID, session.Subscription{Server: "weather", URI: "file:///s3cret"}); err != nil {
		t.Fatal(err)
	}
}

// wantFilled wants all that fill has given.
func wantFilled(t *testing.T, st session.Store, s session.Session) {
	t.Helper()
	got, err := st.Get(t.Context(), s.ID)
	if err != nil || got.Principal != s.Principal || got.Endpoint != s.Endpoint || string(got.ClientInfo) != string(s.ClientInfo) ||
		string(got.Capabilities) != string(s.Capabilities) || got.Version != s.Version {
		t.Errorf("Get: got %+v, %v, want %+v", got, err, s)
	}
	held, err := st.Backends(t.Context(), s.ID)
	if err != nil || len(held) != 1 || held[0].Backend.ID != "s3cret-backend" {
		t.Errorf("Backends: got %+v, %v", held, err)
	}
	settings, err := st.Settings(t.Context(), s.ID)
	if err != nil || len(settings.Subscriptions) != 1 || settings.Subscriptions[0].URI != "file:///s3cret" {
		t.Errorf("Settings: got %+v, %v", settings, err)
	}
}

func TestNothingIsReadable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keys     []string
		readable bool
	}{"sealed": {[]string{oldKey}, false}, "as it is": {nil, true}} {
		server := redistest.Start(t)
		st := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: test.keys, Prefix: name})
		s := secretive()
		fill(t, st, s)
		wantFilled(t, st, s)
		var out strings.Builder
		dump(t, &out, server.Addr())
		c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
		heard := c.Subscribe(t.Context(), name+"mail:a")
		if _, err := heard.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Send(t.Context(), "a", []byte("s3cret-mail")); err != nil {
			t.Fatal(err)
		}
		m, err := heard.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heard.Close()
		c.Close()
		if all := out.String() + m.Payload; strings.Contains(all, "s3cret") != test.readable {
			t.Errorf("%s: readable is %v\n%s", name, !test.readable, all)
		}
	}
}

// TestRotation goes through the stages of a change of keys; in each, replicas of
// this one and of the one before share the Redis.
func TestRotation(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stages := [][]string{{oldKey}, {oldKey, newKey}, {newKey, oldKey}}
	var before *redis.Store
	var all []session.Session
	for i, keys := range stages {
		st := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: keys})
		if before == nil {
			before = st
		}
		a, b := secretive(), secretive()
		fill(t, before, a)
		fill(t, st, b)
		all = append(all, a, b)
		for _, replica := range []*redis.Store{before, st} {
			for _, s := range all {
				wantFilled(t, replica, s)
				if _, err := replica.Subscribe(t.Context(), s.ID, session.Subscription{Server: "weather", URI: "file:///s3cret"}); err != nil {
					t.Fatal(err)
				}
			}
			wantMail(t, before, st.Mail(t.Context(), "a"))
			wantMail(t, st, before.Mail(t.Context(), "a"))
		}
		// What one has sealed another forgets.
		if err := st.Drop(t.Context(), a.ID, "weather", "s3cret-backend"); err != nil {
			t.Fatal(err)
		}
		if c, err := before.Claim(t.Context(), a.ID, "weather", time.Minute); err != nil || c.State != session.Claimed {
			t.Errorf("stage %d: Claim after Drop: got %+v, %v", i, c, err)
		} else if won, err := st.Commit(t.Context(), a.ID, "weather", c.Token, session.Backend{ID: "s3cret-backend", Version: "2025-06-18"}); err != nil || !won {
			t.Errorf("stage %d: Commit by another: got %v, %v", i, won, err)
		}
		sub := session.Subscription{Server: "weather", URI: "file:///s3cret"}
		if err := before.Unsubscribe(t.Context(), b.ID, sub); err != nil {
			t.Fatal(err)
		}
		if added, err := st.Subscribe(t.Context(), b.ID, sub); err != nil || !added {
			t.Errorf("stage %d: Subscribe after Unsubscribe by another: got %v, %v", i, added, err)
		}
		before = st
	}
	// The old key goes: what it has sealed is not there any more.
	last := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: []string{newKey}})
	kept := secretive()
	fill(t, last, kept)
	wantFilled(t, before, kept)
	wantFilled(t, last, kept)
	wantGone(t, last, all[0].ID)
}

// wantGone wants no part of the session to be found.
func wantGone(t *testing.T, st session.Store, id session.ID) {
	t.Helper()
	for _, name := range []string{"Get", "Backends", "Settings"} {
		if err := calls(t, st, id)[name](); !errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: got error %v, want ErrNotFound", name, err)
		}
	}
	if c, err := st.Claim(t.Context(), id, "weather", time.Minute); err != nil || c.State != session.Gone {
		t.Errorf("Claim: got %+v, %v, want Gone", c, err)
	}
}

// TestOtherKeys: what cannot be opened is not there, and the log says so without
// saying what.
func TestOtherKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	mine := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: []string{oldKey}})
	s, plain := secretive(), secretive()
	fill(t, mine, s)
	fill(t, open(t, redis.Options{Timeouts: usual, URL: server.URL()}), plain)
	wantGone(t, mine, plain.ID)
	for name, keys := range map[string][]string{"another": {newKey}, "none": nil} {
		core, logged := observer.New(zap.InfoLevel)
		st := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: keys, Log: zap.New(core)})
		wantGone(t, st, s.ID)
		if n := logged.FilterMessageSnippet("cannot be opened").Len(); n != 1 {
			t.Errorf("%s: %d lines in the log, want one a minute", name, n)
		}
		for _, secret := range []string{"s3cret", "hunter2", string(s.ID), s.ID.Key().String()} {
			if strings.Contains(fmt.Sprint(logged.All()), secret) {
				t.Errorf("%s: the log says %s", name, secret)
			}
		}
	}
	wantFilled(t, mine, s)
}

// TestSwappedValues is somebody who can write to Redis, but has no key.
func TestSwappedValues(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	st := open(t, redis.Options{Timeouts: usual, URL: server.URL(), Keys: []string{oldKey}})
	c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { c.Close() })
	record := func(s session.Session, kind string) string {
		k := s.ID.Key()
		return fmt.Sprintf("mcp:{%02x}:%s:%s", k[0], kind, k)
	}
	for name, swap := range map[string]func(mine, other session.Session){
		"client document": func(mine, other session.Session) {
			for i := range 10 {
				if v := c.HGet(t.Context(), record(other, "s"), fmt.Sprint("c", i)).Val(); v != "" {
					c.HSet(t.Context(), record(mine, "s"), fmt.Sprint("c", i), v)
				}
			}
		},
		"backend session": func(mine, other session.Session) {
			for _, field := range []string{"bweather", "+bweather"} {
				if v := c.HGet(t.Context(), record(other, "s"), field).Val(); v != "" {
					c.HSet(t.Context(), record(mine, "s"), field, v)
				}
			}
		},
		"subscription": func(mine, other session.Session) {
			c.SAdd(t.Context(), record(mine, "u"), c.SMembers(t.Context(), record(other, "u")).Val()[0])
		},
	} {
		mine, other := secretive(), secretive()
		fill(t, st, mine)
		fill(t, st, other)
		swap(mine, other)
		gone := 0
		for _, call := range []string{"Get", "Backends", "Settings"} {
			if err := calls(t, st, mine.ID)[call](); errors.Is(err, session.ErrNotFound) {
				gone++
			} else if err != nil {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
		if gone != 1 {
			t.Errorf("%s: %d calls see that it is of another session, want 1", name, gone)
		}
		wantFilled(t, st, other)
	}

	// The revision and the principal of the hash do not count.
	s := secretive()
	fill(t, st, s)
	c.HSet(t.Context(), record(s, "s"), "v", "2024-11-05", "p", "")
	wantFilled(t, st, s)
}
