package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

const (
	buckets = 256
	// bucketsPerTrip are asked in one pipeline.
	bucketsPerTrip = 32
)

// Expired implements session.Store. Replicas may call it at the same time; each
// begins at another bucket.
func (s *Store) Expired(ctx context.Context, limit int) ([]session.Ended, error) {
	now := s.clock()
	if now == "" {
		t, err := s.serverTime(ctx)
		if err != nil {
			return nil, failed(ctx, "expired", err)
		}
		now = t
	}
	var out []session.Ended
	start := rand.IntN(buckets)
	for i := 0; i < buckets && len(out) < limit; i += bucketsPerTrip {
		due, err := s.due(ctx, start+i, now, limit-len(out))
		if err != nil {
			return out, failed(ctx, "expired", err)
		}
		for _, member := range due {
			if len(out) == limit {
				break
			}
			key, err := session.ParseKey(member)
			if err != nil {
				return out, malformed("expiry index")
			}
			held, err := s.end(ctx, key, "due")
			if errors.Is(err, goredis.Nil) {
				continue // used or ended by another replica meanwhile
			}
			if err != nil {
				return out, err
			}
			out = append(out, session.Ended{Key: key, Backends: held})
		}
	}
	return out, nil
}

// due lists members of the buckets from first on whose deadline has come, up to
// limit for each bucket.
func (s *Store) due(ctx context.Context, first int, now string, limit int) ([]string, error) {
	var cmds []goredis.Cmder
	err := s.ask(ctx, false, func(ctx context.Context) (err error) {
		cmds, err = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range bucketsPerTrip {
				p.ZRangeArgs(ctx, goredis.ZRangeArgs{
					Key:     s.bucket(byte((first+i)%buckets)) + "x",
					ByScore: true,
					Start:   "-inf",
					Stop:    now,
					Count:   int64(limit),
				})
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, cmd := range cmds {
		out = append(out, cmd.(*goredis.StringSliceCmd).Val()...)
	}
	return out, nil
}

// serverTime returns the server's clock in milliseconds. In a cluster it is any
// node's: the script that ends a session asks the node that has it.
func (s *Store) serverTime(ctx context.Context) (string, error) {
	var t time.Time
	if err := s.ask(ctx, false, func(ctx context.Context) (err error) {
		t, err = s.client.Time(ctx).Result()
		return err
	}); err != nil {
		return "", err
	}
	return strconv.FormatInt(t.UnixMilli(), 10), nil
}
