package redis

import (
	"bufio"
	"context"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

const (
	inspectPause        = time.Second
	longestInspectPause = time.Minute
)

// inspect waits for the Redis and looks once whether it keeps what it is given.
func (s *Store) inspect(ctx context.Context) {
	for pause := inspectPause; ; pause = min(2*pause, longestInspectPause) {
		policy, err := s.policy(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case goredis.HasErrorPrefix(err, "NOPERM"):
			s.log.Warn("cannot see whether Redis evicts sessions when its memory is full: its user may not use INFO")
			return
		case err == nil:
			if strings.HasPrefix(policy, "allkeys-") || strings.HasPrefix(policy, "volatile-") {
				s.log.Warn("Redis evicts keys when its memory is full: sessions will be lost; set maxmemory-policy noeviction",
					zap.String("maxmemory-policy", policy))
			}
			return
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// policy returns the setting maxmemory-policy: of a cluster the first that evicts
// keys, if a node has one.
func (s *Store) policy(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, ok := s.client.(*goredis.ClusterClient)
	if !ok {
		return policyOf(ctx, s.client)
	}
	policies := make(chan string, 1)
	err := c.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		policy, err := policyOf(ctx, node)
		if policy != "noeviction" {
			select {
			case policies <- policy:
			default:
			}
		}
		return err
	})
	select {
	case policy := <-policies:
		return policy, err
	default:
		return "", err
	}
}

func policyOf(ctx context.Context, c goredis.Cmdable) (string, error) {
	info, err := c.Info(ctx, "memory").Result()
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if policy, ok := strings.CutPrefix(lines.Text(), "maxmemory_policy:"); ok {
			return policy, nil
		}
	}
	return "", err
}
