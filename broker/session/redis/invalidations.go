package redis

import (
	"context"

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

// invalidation reads a message: a session key alone if the session ended; behind
// it a space and the server whose backend session was dropped, or a plus sign
// and the server at which one was opened. Whatever else arrives, flushing is
// right.
func invalidation(m any) session.Invalidation {
	flush := session.Invalidation{Flush: true}
	message, ok := m.(*goredis.Message)
	if !ok {
		return flush
	}
	end := min(len(message.Payload), keyLength)
	key, err := session.ParseKey(message.Payload[:end])
	if err != nil {
		return flush
	}
	inv := session.Invalidation{Key: key}
	rest := message.Payload[end:]
	if rest == "" {
		return inv
	}
	switch inv.Server = rest[1:]; rest[0] {
	case ' ':
	case '+':
		inv.Opened = true
	default:
		return flush
	}
	return inv
}

// keyLength is that of a session key as a string.
var keyLength = len(session.Key{}.String())
