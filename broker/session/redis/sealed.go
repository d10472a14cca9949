package redis

import (
	"encoding/binary"
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

func fieldBackend(server string) string { return "b" + server }

// A client document is stored as it is; sealed, with revision and principal before
// it, each behind its length as a varint, since the hash, which has them too, can be
// changed by who can write to Redis.

// sealDocument returns what stands for the principal in the hash, and the client
// document, sealed with each of the keys.
func (s *Store) sealDocument(v session.Session, key session.Key) (principal string, docs []string) {
	if s.ring == nil {
		return packPrincipal(v.Principal), []string{document(v)}
	}
	var head []byte
	for _, text := range []string{shortRevision(v.Version), packPrincipal(v.Principal)} {
		head = append(binary.AppendUvarint(head, uint64(len(text))), text...)
	}
	return s.place(v.Principal), s.ring.SealAll(recordOfSession(key), fieldDocument, string(head)+document(v))
}

// openDocument undoes sealDocument. The others are what the hash says.
func (s *Store) openDocument(key session.Key, version, principal, doc string) (session.Session, error) {
	v := session.Session{Version: longRevision(version), Principal: unpackPrincipal(principal)}
	doc, err := s.ring.Open(recordOfSession(key), fieldDocument, doc)
	if err != nil {
		return session.Session{}, s.notOpened("a session", err)
	}
	if s.ring != nil {
		short, rest, ok := cutText(doc)
		packed, rest, also := cutText(rest)
		if !ok || !also {
			return session.Session{}, malformed("client document")
		}
		v.Version, v.Principal, doc = longRevision(short), unpackPrincipal(packed), rest
	}
	return v, readDocument(&v, doc)
}

// cutText takes from s what its length as a varint goes before.
func cutText(s string) (text, rest string, ok bool) {
	length, n := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	if n <= 0 || length > uint64(len(s)-n) {
		return "", "", false
	}
	return s[n : n+int(length)], s[n+int(length):], true
}

// place names the places of a principal's sessions; empty for none.
func (s *Store) place(principal string) string {
	if principal == "" {
		return ""
	}
	return s.ring.Name(principal)
}

// A backend session is stored as the letter of its revision, or ":<revision>:", and
// the id, which is sealed.

func (s *Store) sealBackend(key session.Key, server string, b session.Backend) (string, error) {
	version := shortRevision(b.Version)
	switch {
	case strings.Contains(version, ":"):
		return "", fmt.Errorf("redis session store: revision %q holds a colon", b.Version)
	case len(version) != 1:
		version = ":" + version + ":"
	}
	return version + s.ring.Seal(recordOfSession(key), fieldBackend(server), s.pack(b.ID)), nil
}

func (s *Store) openBackend(key session.Key, server, v string) (session.Backend, error) {
	if v == "" {
		return session.Backend{}, malformed("backend session")
	}
	version, sealed := v[:1], v[1:]
	if version == ":" {
		var ok bool
		if version, sealed, ok = strings.Cut(sealed, ":"); !ok {
			return session.Backend{}, malformed("backend session")
		}
	}
	id, err := s.ring.Open(recordOfSession(key), fieldBackend(server), sealed)
	if err != nil {
		return session.Backend{}, s.notOpened("a backend session", err)
	}
	id, ok := s.unpack(id)
	if !ok {
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
