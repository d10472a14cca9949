package gateway

import (
	"errors"
	"slices"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/redisaddr"
)

// Limits of the keys that seal what a store keeps.
const (
	minKey  = 32 // characters: of base64, 24 bytes of chance
	maxKeys = 8
)

func (v *validation) sessions(s *Sessions) {
	v.store(s)
	v.keys(s)
	v.duration("sessions.idleTimeout", s.IdleTimeout, false)
	v.duration("sessions.lifetime", s.Lifetime, false)
	if s.Lifetime > 0 && s.IdleTimeout > s.Lifetime {
		v.warnf("sessions.idleTimeout", "%s has no effect: lifetime (%s) ends every session sooner", s.IdleTimeout, s.Lifetime)
	}
}

func (v *validation) store(s *Sessions) {
	const at = "sessions.redis"
	r := &s.Redis
	if s.Store == StoreMemory || s.Store == StoreToken {
		if *r != (gatewayconfig.Redis{}) {
			v.errorf(at, "the store is %s: there is no Redis", s.Store)
		}
		return
	}
	a, err := redisaddr.Parse(s.Store)
	switch {
	case errors.Is(err, redisaddr.ErrScheme):
		v.errorf("sessions.store", "want %s, %s, or %s", StoreMemory, redisaddr.Forms, StoreToken)
		return
	case err != nil:
		v.errorf("sessions.store", "%v", err)
		return
	case a.Password != "" && r.Password != "":
		v.errorf(at+".password", "the address has a password too: keep one")
	case r.Username != "" && r.Password == "":
		v.errorf(at+".username", "has no password")
	case r.SentinelUsername != "" && r.SentinelPassword == "":
		v.errorf(at+".sentinelUsername", "has no password")
	case r.SentinelPassword != "" && a.Master == "":
		v.errorf(at+".sentinelPassword", "the address names no Sentinels: those have a master_name")
	}
	v.storeTLS(r.TLS, a.TLS)
}

func (v *validation) storeTLS(t gatewayconfig.RedisTLS, used bool) {
	const at = "sessions.redis.tls"
	if !used {
		if t != (gatewayconfig.RedisTLS{}) {
			v.errorf(at, "the address is one without TLS: that is rediss://")
		}
		return
	}
	_, err := redisaddr.TLS(t).Config()
	switch {
	case errors.Is(err, redisaddr.ErrCA):
		v.errorf(at+".ca", "%v", err)
	case err != nil:
		v.errorf(at+".certificate", "%v", err)
	case t.ServerName != "" && badHostname(t.ServerName) != "":
		v.errorf(at+".serverName", "%q %s", t.ServerName, badHostname(t.ServerName))
	case t.SkipVerify && t.CA != "":
		v.errorf(at+".skipVerify", "the ca is of no use then: keep one")
	case t.SkipVerify:
		v.warnf(at+".skipVerify", "no certificate is looked at: whoever is on the way to Redis can read and change every session")
	}
}

func (v *validation) keys(s *Sessions) {
	if len(s.Keys) > 0 && s.Store == StoreMemory {
		v.warnf("sessions.keys", "have no effect: what is in memory is not sealed")
	}
	if len(s.Keys) == 0 && s.Store == StoreToken {
		v.errorf("sessions.keys", "are missing: the store is token, whose ids are sealed")
	}
	if len(s.Keys) > maxKeys {
		v.errorf("sessions.keys", "%d keys: want at most %d", len(s.Keys), maxKeys)
	}
	for i, key := range s.Keys {
		at := index("sessions.keys", i)
		switch {
		case len(key) < minKey:
			v.errorf(at, "has %d characters: want at least %d by chance, as openssl rand -base64 32 makes them", len(key), minKey)
		case slices.Contains(s.Keys[:i], key):
			v.errorf(at, "is in the list already")
		}
	}
}
