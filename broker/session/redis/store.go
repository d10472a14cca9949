package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

// Mint implements session.Store.
func (s *Store) Mint(session.Session) (session.ID, error) { return session.NewID(), nil }

// Create implements session.Store.
//
// The place among the principal's sessions is taken first and given back if
// nothing comes of it: what is lost on the way costs a place for a while, and
// never lets a session in. After an error it stays, as the session may be there.
func (s *Store) Create(ctx context.Context, v session.Session, caps session.Caps) error {
	err := s.create(ctx, v, caps)
	if full(err) {
		return fmt.Errorf("redis session store: create: %w: Redis has no memory left", session.ErrFull)
	}
	return err
}

func (s *Store) create(ctx context.Context, v session.Session, caps session.Caps) error {
	key := v.ID.Key()
	var taken bool
	if caps.Principal > 0 && v.Principal != "" {
		var err error
		if taken, err = s.reserve(ctx, s.place(v.Principal), key, caps.Principal); err != nil {
			return err
		}
	}
	principal, docs := s.sealDocument(v, key)
	args := []any{millis(s.timeouts.Lifetime), shortRevision(v.Version), principal, docs[0], share(caps.Total, key[0])}
	for _, doc := range docs[1:] {
		args = append(args, doc)
	}
	reply, err := s.run(ctx, s.scripts.create, key, args...).Int()
	if err != nil {
		return failed(ctx, "create", err)
	}
	switch reply {
	case 1:
		return nil
	case 2:
		err = session.ErrFull
	default:
		err = session.ErrExists
	}
	if taken {
		s.release(ctx, s.place(v.Principal), key)
	}
	return err
}

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, id session.ID) (session.Session, error) {
	f, err := s.run(ctx, s.scripts.get, id.Key()).StringSlice()
	if errors.Is(err, goredis.Nil) {
		return session.Session{}, session.ErrNotFound
	}
	if err != nil {
		return session.Session{}, failed(ctx, "get", err)
	}
	if len(f) != 3 {
		return session.Session{}, malformed("get")
	}
	v, err := s.openDocument(id.Key(), f[0], f[1], f[2])
	if err != nil {
		return session.Session{}, err
	}
	v.ID = id
	return v, nil
}

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, id session.ID) ([]session.Held, error) {
	held, err := s.end(ctx, id.Key(), "live")
	if errors.Is(err, goredis.Nil) {
		return nil, session.ErrNotFound
	}
	return held, err
}

// Claim implements session.Store.
func (s *Store) Claim(ctx context.Context, id session.ID, server string, lease time.Duration) (session.Claim, error) {
	token := rand.Text()
	reply, err := s.run(ctx, s.scripts.claim, id.Key(), server, token, millis(max(lease, time.Millisecond))).Slice()
	if err != nil {
		return session.Claim{}, failed(ctx, "claim", err)
	}
	if len(reply) == 0 {
		return session.Claim{}, malformed("claim")
	}
	switch reply[0] {
	case int64(0):
		return session.Claim{State: session.Gone}, nil
	case int64(1):
		v, _ := reply[len(reply)-1].(string)
		b, err := s.openBackend(id.Key(), server, v)
		if errors.Is(err, session.ErrNotFound) {
			return session.Claim{State: session.Gone}, nil
		}
		return session.Claim{State: session.Have, Backend: b}, err
	case int64(2):
		ms, _ := reply[len(reply)-1].(int64)
		return session.Claim{State: session.Wait, Wait: time.Duration(ms) * time.Millisecond}, nil
	case int64(3):
		return session.Claim{State: session.Claimed, Token: session.Token(token)}, nil
	}
	return session.Claim{}, malformed("claim")
}

// Renew implements session.Store.
func (s *Store) Renew(ctx context.Context, id session.ID, server string, t session.Token, lease time.Duration) (bool, error) {
	ok, err := s.run(ctx, s.scripts.renew, id.Key(), server, string(t), millis(max(lease, time.Millisecond))).Bool()
	if err != nil {
		return false, failed(ctx, "renew", err)
	}
	return ok, nil
}

// Commit implements session.Store.
func (s *Store) Commit(ctx context.Context, id session.ID, server string, t session.Token, b session.Backend) (bool, error) {
	v, err := s.sealBackend(id.Key(), server, b)
	if err != nil {
		return false, err
	}
	won, err := s.run(ctx, s.scripts.commit, id.Key(), server, string(t), v).Bool()
	if err != nil {
		return false, failed(ctx, "commit", err)
	}
	return won, nil
}

// Abandon implements session.Store.
func (s *Store) Abandon(ctx context.Context, id session.ID, server string, t session.Token) error {
	if err := s.run(ctx, s.scripts.abandon, id.Key(), server, string(t)).Err(); err != nil {
		return failed(ctx, "abandon", err)
	}
	return nil
}

// Drop implements session.Store.
func (s *Store) Drop(ctx context.Context, id session.ID, server, stale string) error {
	args := []any{server}
	for _, sealed := range s.ring.SealAll(recordOfSession(id.Key()), fieldBackend(server), s.pack(stale)) {
		args = append(args, sealed)
	}
	if err := s.run(ctx, s.scripts.drop, id.Key(), args...).Err(); err != nil {
		return failed(ctx, "drop", err)
	}
	return nil
}

// end removes the session and returns what it held: when is "live" for one that
// has not expired, "due" for one that has. goredis.Nil if there is none.
func (s *Store) end(ctx context.Context, key session.Key, when string) ([]session.Held, error) {
	f, err := s.run(ctx, s.scripts.end, key, when, rand.Text(), millis(2*s.timeout)).StringSlice()
	if errors.Is(err, goredis.Nil) {
		return nil, err
	}
	if err != nil {
		return nil, failed(ctx, "end", err)
	}
	if len(f) == 0 {
		return nil, malformed("end")
	}
	place := f[0]
	if s.ring == nil {
		place = s.place(unpackPrincipal(place))
	}
	s.release(ctx, place, key)
	held, err := s.parseHeld(key, f[1:])
	if errors.Is(err, session.ErrNotFound) {
		err = nil // it is gone now, and the rest is the caller's
	}
	return held, err
}

// parseHeld reads pairs of server and backend session. Those that cannot be opened
// are left out; the error is then ErrNotFound.
func (s *Store) parseHeld(key session.Key, f []string) (held []session.Held, err error) {
	for ; len(f) >= 2; f = f[2:] {
		b, e := s.openBackend(key, f[0], f[1])
		switch {
		case e == nil:
			held = append(held, session.Held{Server: f[0], Backend: b})
		case errors.Is(e, session.ErrNotFound):
			err = e
		default:
			return nil, e
		}
	}
	return held, err
}

// document holds what the client said of itself: the length of ClientInfo in
// decimal, a space and Endpoint if there is one, a colon, ClientInfo,
// Capabilities.
func document(v session.Session) string {
	head := strconv.Itoa(len(v.ClientInfo))
	if v.Endpoint != "" {
		head += " " + v.Endpoint
	}
	return head + ":" + string(v.ClientInfo) + string(v.Capabilities)
}

func readDocument(v *session.Session, doc string) error {
	head, rest, _ := strings.Cut(doc, ":")
	length, endpoint, _ := strings.Cut(head, " ")
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(rest) {
		return malformed("client document")
	}
	v.Endpoint = endpoint
	v.ClientInfo = raw(rest[:n])
	v.Capabilities = raw(rest[n:])
	return nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// malformed says that something else has written to the store's keys.
func malformed(what string) error {
	return fmt.Errorf("redis session store: %s: unexpected content", what)
}
