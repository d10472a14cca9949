package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

const (
	// placesPerRound are looked at in one pipeline.
	placesPerRound = 128
	// rounds bound the search for places that are free. Each place is looked at
	// once in an idle timeout, so that the next search goes on from there.
	rounds = 8
)

// share is how many sessions the bucket b may have of total, -1 for any number.
// The shares add up to total: no step of the store sees two buckets, which a
// cluster keeps in different places, and ids fall into them evenly.
func share(total int, b byte) int {
	if total <= 0 {
		return -1
	}
	n := total / buckets
	if int(b) < total%buckets {
		n++
	}
	return n
}

// reserve takes a place for a session among those of its principal, which place
// names; taken is false if it had one. ErrTooMany.
//
// A place belongs to a session only as long as that lives, but the two are in
// different slots. So each says until when its session lives at least; at that
// time, if there is need of a place, it is looked for.
func (s *Store) reserve(ctx context.Context, place string, key session.Key, most int) (taken bool, err error) {
	for range rounds {
		reply, err := s.askPlace(ctx, place, key, most)
		if err != nil {
			return false, failed(ctx, "create", err)
		}
		if len(reply) == 0 {
			return false, malformed("create")
		}
		switch reply[0] {
		case int64(1):
			return true, nil
		case int64(2):
			return false, nil
		}
		if len(reply) == 1 {
			break
		}
		if err := s.recheck(ctx, place, reply[1:]); err != nil {
			return false, failed(ctx, "create", err)
		}
	}
	return false, session.ErrTooMany
}

func (s *Store) askPlace(ctx context.Context, place string, key session.Key, most int) ([]any, error) {
	var reply []any
	err := s.ask(ctx, false, func(ctx context.Context) (err error) {
		reply, err = s.scripts.reserve.Run(ctx, s.client, []string{s.places(place)}, key[:], s.clock(),
			millis(min(s.timeouts.Idle, s.timeouts.Lifetime)), millis(s.timeouts.Lifetime+grace), most, placesPerRound).Slice()
		return err
	})
	return reply, err
}

// recheck frees the places of sessions that are over and notes until when the
// others live at least.
func (s *Store) recheck(ctx context.Context, place string, due []any) error {
	now, err := s.millis(ctx)
	if err != nil {
		return err
	}
	var deadlines []goredis.Cmder
	if err := s.ask(ctx, false, func(ctx context.Context) (err error) {
		deadlines, err = s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for _, place := range due {
				p.HGet(ctx, s.recordOf(place), "x")
			}
			return nil
		})
		return err
	}); deadlines == nil {
		return err // it had no turn
	}
	// Each answer has an error of its own; of those that have one but nil, which is
	// a session that is gone, nothing is known.
	places := s.places(place)
	return s.ask(ctx, false, func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, cmd := range deadlines {
				deadline, err := cmd.(*goredis.StringCmd).Int64()
				switch {
				case err == nil && deadline > now:
					p.ZAddXX(ctx, places, goredis.Z{Score: float64(deadline), Member: due[i]})
				case err == nil || errors.Is(err, goredis.Nil):
					p.ZRem(ctx, places, due[i])
				}
			}
			return nil
		})
		return err
	})
}

// recordOf is the key of the hash of a session that has a place.
func (s *Store) recordOf(place any) string {
	var key session.Key
	text, _ := place.(string)
	copy(key[:], text)
	return s.bucket(key[0]) + "s:" + key.String()
}

// release gives a place back. If that fails it comes free later, see reserve.
func (s *Store) release(ctx context.Context, place string, key session.Key) {
	if place == "" {
		return
	}
	_ = s.ask(context.WithoutCancel(ctx), false, func(ctx context.Context) error {
		return s.client.ZRem(ctx, s.places(place), key[:]).Err()
	})
}

// places is the key of the set of a principal's places.
func (s *Store) places(place string) string {
	return s.prefix + "p:" + base64.RawURLEncoding.EncodeToString([]byte(place))
}

// millis returns the store's clock in milliseconds since 1970.
func (s *Store) millis(ctx context.Context) (int64, error) {
	now := s.clock()
	if now == "" {
		t, err := s.serverTime(ctx)
		if err != nil {
			return 0, err
		}
		now = t
	}
	return strconv.ParseInt(now, 10, 64)
}
