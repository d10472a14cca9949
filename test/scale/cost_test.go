package scale

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/test/bench/proc"
	"mcp-gateway/test/e2e/harness"
)

// cost is what the parts of some gateways have used so far.
type cost struct {
	broker, envoy, redis time.Duration // of CPU
	scripts              int64         // that Redis ran
}

// meter reads costs. The broker's is that of `mcp-gateway run`, whose other part,
// the control plane, has nothing to do meanwhile.
type meter struct {
	t        testing.TB
	gateways []*harness.Gateway
	redis    *goredis.Client
}

func newMeter(t testing.TB, redis string, gateways ...*harness.Gateway) *meter {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: redis})
	t.Cleanup(func() { _ = client.Close() })
	return &meter{t, gateways, client}
}

func (m *meter) read() (c cost) {
	m.t.Helper()
	for _, g := range m.gateways {
		tree, err := proc.Tree(g.PID())
		if err != nil {
			m.t.Fatal(err)
		}
		for _, p := range tree {
			if p.PID == g.PID() {
				c.broker += p.CPU
			} else {
				c.envoy += p.CPU
			}
		}
	}
	info, err := m.redis.Info(m.t.Context(), "cpu", "commandstats").Result()
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "used_cpu_sys", "used_cpu_user":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			c.redis += time.Duration(seconds * float64(time.Second))
		case "cmdstat_evalsha":
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			if c.scripts, err = strconv.ParseInt(calls, 10, 64); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return c
}

// since tells what each of n requests has cost from before on.
func (m *meter) since(before cost, n int) string {
	m.t.Helper()
	now := m.read()
	each := func(d time.Duration) int64 { return d.Microseconds() / int64(n) }
	return fmt.Sprintf("µs of CPU each: broker %d, Envoy %d, Redis %d; %.2f scripts in Redis", each(now.broker-before.broker),
		each(now.envoy-before.envoy), each(now.redis-before.redis), float64(now.scripts-before.scripts)/float64(n))
}
