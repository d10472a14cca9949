package redis

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
)

// What is sealed is bound to a record, which is a session or a mailbox, and to a
// field of it.

func recordOfSession(key session.Key) string { return "session " + string(key[:]) }

func recordOfMail(mailbox string) string { return "mail " + mailbox }

const (
	fieldDocument     = "c"
	fieldSubscription = "u"
)

func fieldBackend(server string) string { return "b:" + server }

// A client document is stored as it is; sealed, with revision and principal before
// it, since the hash, which has them too, can be changed by who can write to Redis:
// "<length of the revision> <length of the principal>:<revision><principal>".

// sealDocument returns what stands for the principal in the hash, and the client
// document, sealed with each of the keys.
func (s *Store) sealDocument(v session.Session, key session.Key) (principal string, docs []string) {
	if s.ring == nil {
		return packPrincipal(v.Principal), []string{document(v)}
	}
	version, packed := shortRevision(v.Version), packPrincipal(v.Principal)
	head := fmt.Sprintf("%d %d:%s%s", len(version), len(packed), version, packed)
	return s.place(v.Principal), s.ring.SealAll(recordOfSession(key), fieldDocument, head+document(v))
}

// openDocument undoes sealDocument. The others are what the hash says.
func (s *Store) openDocument(key session.Key, version, principal, doc string) (session.Session, error) {
	v := session.Session{Version: longRevision(version), Principal: unpackPrincipal(principal)}
	doc, err := s.ring.Open(recordOfSession(key), fieldDocument, doc)
	if err != nil {
		return session.Session{}, s.notOpened("a session", err)
	}
	if s.ring != nil {
		head, rest, _ := strings.Cut(doc, ":")
		first, second, _ := strings.Cut(head, " ")
		n, err := strconv.Atoi(first)
		m, err2 := strconv.Atoi(second)
		if err != nil || err2 != nil || n < 0 || m < 0 || n+m > len(rest) {
			return session.Session{}, malformed("client document")
		}
		v.Version, v.Principal, doc = longRevision(rest[:n]), unpackPrincipal(rest[n:n+m]), rest[n+m:]
	}
	return v, readDocument(&v, doc)
}

// place names the places of a principal's sessions; empty for none.
func (s *Store) place(principal string) string {
	if principal == "" {
		return ""
	}
	return s.ring.Name(principal)
}

// A backend session is stored as "<revision>:<id>", of which the id is sealed.

func (s *Store) sealBackend(key session.Key, server string, b session.Backend) (string, error) {
	if strings.Contains(string(b.Version), ":") {
		return "", fmt.Errorf("redis session store: revision %q holds a colon", b.Version)
	}
	return shortRevision(b.Version) + ":" + s.ring.Seal(recordOfSession(key), fieldBackend(server), s.pack(b.ID)), nil
}

func (s *Store) openBackend(key session.Key, server, v string) (session.Backend, error) {
	version, sealed, ok := strings.Cut(v, ":")
	if !ok {
		return session.Backend{}, malformed("backend session")
	}
	id, err := s.ring.Open(recordOfSession(key), fieldBackend(server), sealed)
	if err != nil {
		return session.Backend{}, s.notOpened("a backend session", err)
	}
	if id, ok = s.unpack(id); !ok {
		return session.Backend{}, malformed("backend session")
	}
	return session.Backend{ID: id, Version: longRevision(version)}, nil
}

// A subscription is stored as "<length of the server's name>:<server><uri>".

func (s *Store) sealSubscription(key session.Key, v session.Subscription) []any {
	var all []any
	for _, sealed := range s.ring.SealAll(recordOfSession(key), fieldSubscription, strconv.Itoa(len(v.Server))+":"+v.Server+v.URI) {
		all = append(all, sealed)
	}
	return all
}

func (s *Store) openSubscription(key session.Key, v string) (session.Subscription, error) {
	v, err := s.ring.Open(recordOfSession(key), fieldSubscription, v)
	if err != nil {
		return session.Subscription{}, s.notOpened("a subscription", err)
	}
	length, rest, _ := strings.Cut(v, ":")
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(rest) {
		return session.Subscription{}, malformed("subscription")
	}
	return session.Subscription{Server: rest[:n], URI: rest[n:]}, nil
}

// notOpened is the error for what cannot be opened: there is no such session. A
// key that was taken out of use ends its sessions so, and clients begin new ones;
// what anybody else writes to Redis is no session.
func (s *Store) notOpened(what string, err error) error {
	now := time.Now().Unix()
	if last := s.unreadable.Load(); now-last >= 60 && s.unreadable.CompareAndSwap(last, now) {
		s.log.Warn("what Redis keeps cannot be opened, and counts as not there; told once a minute at most",
			zap.String("what", what), zap.Error(err))
	}
	return fmt.Errorf("redis session store: %s: %w: %w", what, session.ErrNotFound, err)
}
