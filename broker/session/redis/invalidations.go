package redis

import (
	"context"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

// Invalidations implements session.Store by pub/sub, which forgets what it
// cannot deliver: each time the subscription is made anew, a Flush goes first.
func (s *Store) Invalidations(ctx context.Context) <-chan session.Invalidation {
	var feed session.Broadcast
	out := feed.Subscribe(ctx)
	go func() {
		sub := s.client.Subscribe(ctx, s.channel) // connects, so not in the caller's time
		defer sub.Close()                         // of no interest: nobody listens any more
		in := sub.ChannelWithSubscriptions()
		for {
			select {
			case m, ok := <-in:
				if !ok {
					return
				}
				feed.Publish(invalidation(m))
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// invalidation reads a message: a session key, and after a space the server if
// only its backend session is meant. Whatever else arrives, flushing is right.
func invalidation(m any) session.Invalidation {
	if m, ok := m.(*goredis.Message); ok {
		key, server, _ := strings.Cut(m.Payload, " ")
		if k, err := session.ParseKey(key); err == nil {
			return session.Invalidation{Key: k, Server: server}
		}
	}
	return session.Invalidation{Flush: true}
}
