package redis_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/redis"
	"mcp-gateway/broker/session/redis/redistest"
)

// population is a number of sessions with a backend session and a subscription
// each, by the id of their backend session.
func population(t *testing.T, st session.Store, n int) map[string]session.ID {
	t.Helper()
	all := make(map[string]session.ID, n)
	for i := range n {
		id, b := create(t, st), fmt.Sprint("b", i)
		commit(t, st, id, "weather", session.Backend{ID: b, Version: "2025-11-25"})
		subscribe(t, st, id)
		all[b] = id
	}
	return all
}

// failing is for tests in which some calls have to fail, and others must not on a
// busy machine.
const failing = 2 * time.Second

// wantAll wants every session with all that belongs to it.
func wantAll(t *testing.T, st session.Store, all map[string]session.ID) {
	t.Helper()
	for b, id := range all {
		wantBack(t, st, id)
		var c session.Claim
		eventually(t, func() (err error) { c, err = st.Claim(t.Context(), id, "weather", time.Minute); return err })
		want := session.Claim{State: session.Have, Backend: session.Backend{ID: b, Version: "2025-11-25"}}
		if c != want {
			t.Fatalf("Claim: got %+v, want %+v", c, want)
		}
		var settings session.Settings
		eventually(t, func() (err error) { settings, err = st.Settings(t.Context(), id); return err })
		if len(settings.Subscriptions) != 1 {
			t.Fatalf("Settings: got %+v, want one subscription", settings)
		}
	}
}

// wantReplicated waits until the replica has all that the master has.
func wantReplicated(t *testing.T, master *redistest.Server) {
	t.Helper()
	offset := regexp.MustCompile(`slave0:.*offset=(\d+),`)
	master.Await(func(info string) bool {
		got := offset.FindStringSubmatch(info)
		return got != nil && strings.Contains(info, "master_repl_offset:"+got[1]+"\r")
	}, "INFO", "replication")
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, replica, sentinel := redistest.StartSentinel(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(sentinel.Log())
		}
	})
	url := "redis://" + sentinel.Addr() + "?master_name=" + redistest.Master
	st := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: url})
	events := st.Invalidations(t.Context())
	wantFlush(t, events)
	all := population(t, st, 20)
	mail := st.Mail(t.Context(), "a")
	wantMail(t, st, mail)
	wantReplicated(t, master)

	master.Kill()
	any := all["b0"]
	for name, call := range calls(t, st, any) {
		if name != "Delete" {
			wantUnavailable(t, name, call)
		}
	}
	wantAll(t, st, all)
	if role := replica.Command("ROLE"); role != "*3" { // a replica's has five parts
		t.Errorf("the replica is no master: ROLE has %s parts", role)
	}
	for ev := range events { // those of before come first
		if ev.Flush {
			break
		}
	}
	all["new"] = create(t, st)
	commit(t, st, all["new"], "weather", session.Backend{ID: "new", Version: "2025-11-25"})
	subscribe(t, st, all["new"])
	wantMail(t, st, mail)

	// The old master returns, and is told to follow.
	sentinel.Await(func(info string) bool { return strings.Contains(info, "status=ok,address="+replica.Addr()) }, "INFO", "sentinel")
	master.Restart()
	master.Await(func(info string) bool { return strings.Contains(info, "master_link_status:up") }, "INFO", "replication")
	wantAll(t, st, all)
	wantAll(t, open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: url}), all)
}

// wantMail sends until a message arrives.
func wantMail(t *testing.T, st session.Store, mail <-chan []byte) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patient); time.Now().Before(limit); {
		_, _ = st.Send(t.Context(), "a", []byte("x"))
		select {
		case <-mail:
			return
		case <-tick.C:
		}
	}
	t.Fatal("no message arrives")
}

func TestSentinelIsAway(t *testing.T) {
	t.Parallel()
	_, _, sentinel := redistest.StartSentinel(t)
	url := "redis://" + sentinel.Addr() + "?master_name="
	st := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: url + redistest.Master})
	id := create(t, st)
	sentinel.Kill()
	wantBack(t, st, id) // the master is known
	late := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: url + redistest.Master})
	wantUnavailable(t, "Get", func() error { _, err := late.Get(t.Context(), id); return err })
	sentinel.Restart()
	wantBack(t, late, id)
	other := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: url + "other"})
	wantUnavailable(t, "a master that nobody knows", func() error { _, err := other.Get(t.Context(), id); return err })
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartClusterWithReplica(t)
	st := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: nodes[1].URL() + "?addr=" + nodes[2].Addr()})
	all := population(t, st, 60)
	wantReplicated(t, nodes[0])

	nodes[0].Kill()
	served, lost := 0, 0
	for _, id := range all {
		start := time.Now()
		if _, err := st.Get(t.Context(), id); err == nil {
			served++
		} else {
			lost++
			wantUnavailable(t, "Get", func() error { return err })
		}
		if d := time.Since(start); d >= soon {
			t.Errorf("Get: answered after %v, want less than a second, %v here", d, soon)
		}
		if lost >= 3 && served > 0 { // the others would wait as long
			break
		}
	}
	if lost == 0 {
		t.Error("a third of the cluster is gone, and nothing fails")
	}
	wantAll(t, st, all)
	for range 20 {
		eventually(t, func() error { return st.Create(t.Context(), session.Session{ID: session.NewID()}, session.Caps{}) })
	}
}

// TestSlotMoves moves the slot of a session to another node while it is used.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t)
	st := open(t, redis.Options{Timeouts: usual, Timeout: failing, URL: nodes[0].URL() + "?addr=" + nodes[1].Addr()})
	all := population(t, st, 20)
	id := all["b0"]
	tag := fmt.Sprintf("%02x", id.Key()[0])
	slot := strings.TrimPrefix(nodes[0].Command("CLUSTER", "KEYSLOT", tag), ":")
	from, to := nodes[0], nodes[1]
	if n := from.Command("CLUSTER", "COUNTKEYSINSLOT", slot); n == ":0" {
		from, to = to, from
	}
	fromID, toID := from.Command("CLUSTER", "MYID"), to.Command("CLUSTER", "MYID")
	to.Must("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.Must("CLUSTER", "SETSLOT", slot, "MIGRATING", toID)

	// Its keys go one by one. A step of the store needs all of them at one node, and
	// a node that is to get a slot knows nothing of keys that there are none of: the
	// sessions of the slot have to wait until it has it.
	host, port, _ := strings.Cut(to.Addr(), ":")
	keys := clusterKeys(t, from, "mcp:{"+tag+"}:")
	away := 0
	for _, key := range keys {
		if got := from.Command("MIGRATE", host, port, key, "0", "5000"); got != "+OK" {
			t.Fatalf("MIGRATE: %s", got)
		}
		if _, err := st.Get(t.Context(), id); err != nil {
			wantUnavailable(t, "Get", func() error { return err })
			away++
		}
	}
	if away == 0 {
		t.Errorf("%d keys have moved one by one, and nothing failed", len(keys))
	}
	to.Must("CLUSTER", "SETSLOT", slot, "NODE", toID)
	from.Must("CLUSTER", "SETSLOT", slot, "NODE", toID)
	wantAll(t, st, all) // the client does not know yet (MOVED)
}
