package chaos

import (
	"net/http"
	"slices"
	"time"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/link"
	"mcp-gateway/test/chaos/server"
)

// How long faults last: longer than a call's limit (4 s) where something hangs.
const (
	short = 2 * time.Second
	long  = 6 * time.Second
)

// noticedByEnvoy is how long it takes an Envoy to find out that nobody takes its
// connections: its checks are half a second apart, and two have to fail.
const noticedByEnvoy = 1500 * time.Millisecond

// away reports whether a call failed as one does that needs something that is away:
// nothing is said to be unknown, and a session that cannot be opened is a 503.
func away(c *check.Call) bool {
	switch c.Outcome {
	case check.Clean:
	case check.Broken:
		// The events of these had begun: no answer can follow.
		return c.Kind == server.ToolStream || c.Kind == server.ToolSlow
	default:
		return true
	}
	if c.Kind == "open" {
		return c.Status == http.StatusServiceUnavailable
	}
	return c.Status != http.StatusNotFound && c.Status != http.StatusBadRequest && (c.Code == 0 || c.Code == mcp.CodeInternalError)
}

// full is calls that need room in the store. A new session is told so.
func full(c *check.Call) bool {
	return needsBroker(c) || c.Kind == "open" && c.Status == http.StatusTooManyRequests
}

// to is calls to a server, directly or by way of the broker.
func to(name string) func(*check.Call) bool {
	return func(c *check.Call) bool { return c.Server == name && away(c) }
}

// needsBroker is calls that have to reach a broker, mostly with its store. Their
// sessions go on.
func needsBroker(c *check.Call) bool { return c.NeedsBroker() && away(c) }

// at is calls at an Envoy, and those that others answer by way of its streams.
func at(envoy string) func(*check.Call) bool {
	return func(c *check.Call) bool { return c.Envoy == envoy || c.Path == check.Push }
}

func push(c *check.Call) bool { return c.Path == check.Push }

// brokers are their names; each has two links.
var brokers = []string{"broker1", "broker2"}

// lost is calls of sessions that are gone.
func lost(c *check.Call) bool {
	return c.Path != check.Inline && (c.Status == http.StatusNotFound || c.Kind == "ended" || needsBroker(c))
}

// late is what becomes of what goes over a stream that has ended, broken also of
// calls whose events had begun.
var (
	late   = []check.Outcome{check.Late}
	broken = []check.Outcome{check.Late, check.Broken}
)

// gone is what clients see of an Envoy that ends without a word.
var gone = []check.Outcome{check.Late, check.Refused, check.Reset, check.Broken, check.Hang}

func scenarios() []scenario {
	return slices.Concat(
		[]scenario{{name: "no fault", run: func(w *world) { wait(w.t, short) }}},
		serverFaults(), brokerFaults(), redisFaults(), otherFaults(), cuts(), clockFaults(), restarts(),
	)
}

// dies kills parts and starts them again.
func dies(d time.Duration, names ...string) func(*world) {
	return func(w *world) {
		for _, name := range names {
			w.kill(name)
			w.lost(name)
		}
		wait(w.t, d)
		for _, name := range names {
			w.up(name)
		}
	}
}

// hangs stops parts for a while.
func hangs(d time.Duration, names ...string) func(*world) {
	return func(w *world) {
		for _, name := range names {
			w.hang(name)
		}
		wait(w.t, d)
		for _, name := range names {
			w.resume(name)
		}
	}
}

// breaks breaks links for what comes from a process.
func breaks(f link.Fault, d time.Duration, from string, links ...string) func(*world) {
	return func(w *world) {
		for _, name := range links {
			w.links[name].Set(from, f)
		}
		wait(w.t, d)
		for _, name := range links {
			w.links[name].Set(from, link.None)
		}
	}
}

func serverFaults() []scenario {
	return []scenario{
		{name: "server killed", may: to("cid"), as: broken, bound: 3 * time.Second, run: dies(short, "cid")},
		{name: "server hangs", may: to("cid"), as: broken, bound: 5 * time.Second, run: hangs(long, "cid")},
		{name: "stateless server killed", may: to("mod"), as: broken, bound: 3 * time.Second, run: dies(short, "mod")},
		{name: "stateless server hangs", may: to("mod"), as: broken, bound: 5 * time.Second, run: hangs(long, "mod")},
	}
}

func brokerFaults() []scenario {
	return []scenario{
		{name: "one broker killed", may: needsBroker, as: late, within: noticedByEnvoy, run: dies(short, "broker1")},
		{name: "both brokers killed", may: needsBroker, as: late, bound: 3 * time.Second, run: dies(long, brokers...)},
		// New calls go to the other one as soon as Envoy has found out.
		{name: "one broker hangs", may: needsBroker, as: late, within: 6 * time.Second, bound: 3 * time.Second, run: hangs(2*long, "broker2")},
		{name: "both brokers hang", may: needsBroker, as: late, bound: 5 * time.Second, run: hangs(long, brokers...)},
	}
}

func redisFaults() []scenario {
	return []scenario{
		{name: "redis killed", may: needsBroker, as: late, bound: 3 * time.Second, run: func(w *world) {
			w.redis.Kill()
			wait(w.t, long)
			w.redis.Restart()
		}},
		{name: "redis hangs", may: needsBroker, as: late, bound: 3 * time.Second, run: func(w *world) {
			w.redis.Pause()
			wait(w.t, long)
			w.redis.Resume()
		}},
		{name: "redis full", may: full, as: late, bound: 3 * time.Second, run: func(w *world) {
			w.tellRedis("CONFIG", "SET", "maxmemory", "1mb")
			wait(w.t, long)
			w.tellRedis("CONFIG", "SET", "maxmemory", "0")
		}},
		{name: "redis loses everything", may: lost, as: late, bound: 5 * time.Second, run: func(w *world) {
			w.tellRedis("FLUSHALL")
			wait(w.t, short)
		}},
	}
}

func otherFaults() []scenario {
	return []scenario{
		{name: "control planes killed", run: dies(long, "plane1", "plane2")},
		{name: "control planes hang", run: hangs(long, "plane1", "plane2")},
		{name: "envoy killed", may: at("envoy1"), as: gone, bound: 3 * time.Second, run: func(w *world) {
			dies(short, "envoy1")(w)
			w.env.Envoys[0].Runs.Add(1)
		}},
		{name: "envoy hangs", may: at("envoy2"), as: gone, bound: 3 * time.Second, run: hangs(long, "envoy2")},
	}
}

func cuts() []scenario {
	envoyToServer := func(c *check.Call) bool {
		return c.Server == "cid" && (c.Envoy == "envoy1" || c.Path == check.Push) && away(c)
	}
	brokerToServer := func(c *check.Call) bool { return c.Server == "cid" && needsBroker(c) }
	return []scenario{
		{name: "envoy-server cut", may: envoyToServer, as: broken, bound: time.Second, run: breaks(link.Cut, short, "envoy1", "cid")},
		{name: "envoy-server silent", may: envoyToServer, as: broken, bound: 5 * time.Second, run: breaks(link.Silent, long, "envoy1", "cid")},
		{name: "broker-server cut", may: brokerToServer, as: late, bound: 3 * time.Second, run: breaks(link.Cut, short, "broker1", "cid")},
		{name: "broker-server silent", may: brokerToServer, as: late, bound: 5 * time.Second, run: breaks(link.Silent, long, "broker1", "cid")},
		{name: "envoy-broker cut", may: needsBroker, as: late, within: noticedByEnvoy, run: breaks(link.Cut, short, "envoy1", "broker1", "broker1-internal")},
		{
			name: "envoy-broker silent", may: needsBroker, as: late, within: 6 * time.Second, bound: 3 * time.Second,
			run: breaks(link.Silent, 2*long, "envoy1", "broker1", "broker1-internal"),
		},
		{name: "broker-redis cut", may: needsBroker, as: late, bound: 3 * time.Second, run: breaks(link.Cut, short, "broker1", "redis")},
		{name: "broker-redis silent", may: needsBroker, as: late, bound: 3 * time.Second, run: breaks(link.Silent, long, "broker1", "redis")},
		{name: "client-envoy cut", may: at("envoy1"), as: gone, bound: time.Second, run: breaks(link.Cut, short, "", "envoy1-clients")},
		// Nothing is lost for good, and no limit is as short as what comes late.
		{name: "client-envoy lossy", may: push, as: late, run: breaks(link.Lossy, long, "", "envoy1-clients", "envoy2-clients")},
		{name: "envoy-server lossy", may: push, as: late, run: breaks(link.Lossy, long, "", "cid", "mod")},
		{name: "envoy-broker lossy", may: push, as: late, run: breaks(link.Lossy, long, "", "broker1", "broker1-internal", "broker2", "broker2-internal")},
		// The store has 0.7 s for a step, with one more try within.
		{name: "broker-redis lossy", may: needsBroker, as: late, bound: time.Second, run: breaks(link.Lossy, long, "", "redis")},
		{name: "envoy-plane cut", run: breaks(link.Cut, short, "", "plane1-xds")},
		{name: "broker-plane silent", run: breaks(link.Silent, short, "", "plane1-config", "plane2-config")},
	}
}

func restarts() []scenario {
	return []scenario{
		{name: "brokers restarted in turn", may: push, as: late, run: func(w *world) {
			for _, name := range brokers {
				w.restart(name)
			}
		}},
		{name: "control planes restarted", run: func(w *world) {
			for _, name := range []string{"plane1", "plane2"} {
				w.restart(name)
			}
		}},
		{name: "envoys restarted in turn", may: push, as: late, run: func(w *world) {
			for _, e := range w.env.Envoys {
				w.drain(e)
			}
		}},
		{name: "envoys hot restarted", may: push, as: late, run: func(w *world) {
			for _, e := range w.env.Envoys {
				w.hotRestart(e)
			}
		}},
	}
}
