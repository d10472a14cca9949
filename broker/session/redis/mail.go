package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

// Send implements session.Store by PUBLISH. It tells how many have received the
// message, in a cluster only how many of those at the node that was asked: there
// every message counts as delivered. The channel is routed like a key, to the node
// at which its subscribers are: by way of others, to which go-redis takes turns
// with what has no key, a message could overtake the one before.
func (s *Store) Send(ctx context.Context, mailbox string, message []byte) (bool, error) {
	if len(message) > session.LargestMessage {
		return false, session.ErrTooLarge
	}
	sealed := s.ring.Seal(recordOfMail(mailbox), "", string(message))
	var receivers int64
	if err := s.ask(ctx, false, func(ctx context.Context) (err error) {
		publish := goredis.NewIntCmd(ctx, "publish", s.mailChannel(mailbox), sealed)
		publish.SetFirstKeyPos(1)
		_ = s.client.Process(ctx, publish) // the command has the error as well
		receivers, err = publish.Result()
		return err
	}); err != nil {
		return false, failed(ctx, "send", err)
	}
	return receivers > 0 || s.cluster, nil
}

// Mail implements session.Store by SUBSCRIBE. While nobody receives, a few
// messages wait here and more in Redis, up to its limit for the output of a
// subscriber.
func (s *Store) Mail(ctx context.Context, mailbox string) <-chan []byte {
	out := make(chan []byte)
	go func() {
		defer close(out)
		sub := s.client.Subscribe(ctx, s.mailChannel(mailbox)) // connects, so not in the caller's time
		defer sub.Close()                                      // of no interest: nobody listens any more
		in := sub.Channel()
		for {
			select {
			case m, ok := <-in:
				if !ok {
					return
				}
				message, err := s.ring.Open(recordOfMail(mailbox), "", m.Payload)
				if err != nil {
					_ = s.notOpened("a message", err)
					continue
				}
				select {
				case out <- []byte(message):
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (s *Store) mailChannel(mailbox string) string { return s.prefix + "mail:" + mailbox }
