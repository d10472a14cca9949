package redis

import (
	"cmp"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"mcp-gateway/internal/redisaddr"
)

// connect makes a client of one server, of a cluster, or of the master that
// Sentinels name. It tries twice within the timeout, which is safe: every script
// answers the same when it is run again.
func connect(o Options, timeout time.Duration) (goredis.UniversalClient, error) {
	a, err := redisaddr.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("the address %w", err)
	}
	u := &goredis.UniversalOptions{
		Addrs:            a.Nodes,
		IsClusterMode:    a.Cluster,
		MasterName:       a.Master,
		DB:               a.Database,
		Username:         a.Username,
		Password:         a.Password,
		SentinelUsername: o.SentinelUsername,
		SentinelPassword: o.SentinelPassword,
		PoolSize:         a.PoolSize,

		MaxRetries:            1,
		DialerRetries:         1,
		DialTimeout:           timeout / 2,
		ReadTimeout:           timeout / 2,
		WriteTimeout:          timeout / 2,
		PoolTimeout:           timeout,
		ContextTimeoutEnabled: true,
		// Commands that a user of the ACL would need besides: the client's name and
		// version, and upgrades announced by the server.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.Password != "" {
		u.Username, u.Password = cmp.Or(o.Username, a.Username), o.Password
	}
	if a.TLS {
		if u.TLSConfig, err = o.TLS.Config(); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
	}
	client := goredis.NewUniversalClient(u)
	h := hook{}
	if c, ok := client.(*goredis.ClusterClient); ok {
		h.reload = c.ReloadState
	}
	client.AddHook(h)
	return client, nil
}
