package gateway

import (
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

func TestValidateSessions(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", minKey)
	for name, test := range map[string]struct {
		change  func(*Sessions)
		want    string // path of the only problem; "" for none
		warning bool
	}{
		"another kind":              {func(s *Sessions) { s.Store = "disk" }, "sessions.store", false},
		"none":                      {func(s *Sessions) { s.Store = "" }, "sessions.store", false},
		"unknown parameter":         {func(s *Sessions) { s.Store = "redis://r?poolsize=1" }, "sessions.store", false},
		"skip_verify in it":         {func(s *Sessions) { s.Store = "rediss://r?skip_verify=true" }, "sessions.store", false},
		"a cluster":                 {func(s *Sessions) { s.Store = "redis://a?addr=b" }, "", false},
		"Sentinels":                 {func(s *Sessions) { s.Store = "redis://a?addr=b&master_name=m"; s.Redis.SentinelPassword = "p" }, "", false},
		"a unix socket":             {func(s *Sessions) { s.Store = "unix:///run/redis.sock?db=1" }, "", false},
		"user and password":         {func(s *Sessions) { s.Redis.Username, s.Redis.Password = "u", "p" }, "", false},
		"user without password":     {func(s *Sessions) { s.Redis.Username = "u" }, "sessions.redis.username", false},
		"two passwords":             {func(s *Sessions) { s.Store = "redis://:a@r"; s.Redis.Password = "b" }, "sessions.redis.password", false},
		"password without Sentinel": {func(s *Sessions) { s.Redis.SentinelPassword = "b" }, "sessions.redis.sentinelPassword", false},
		"user of Sentinels alone": {func(s *Sessions) {
			s.Store, s.Redis.SentinelUsername = "redis://a?master_name=m", "u"
		}, "sessions.redis.sentinelUsername", false},
		"Redis of memory": {func(s *Sessions) { s.Store = StoreMemory; s.Redis.Password = "p" }, "sessions.redis", false},
		"TLS":             {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.ServerName = "redis.example" }, "", false},
		"TLS of no TLS":   {func(s *Sessions) { s.Redis.TLS.ServerName = "redis.example" }, "sessions.redis.tls", false},
		"ca":              {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.CA = "x" }, "sessions.redis.tls.ca", false},
		"certificate":     {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.Certificate = "x" }, "sessions.redis.tls.certificate", false},
		"key alone":       {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.Key = "x" }, "sessions.redis.tls.certificate", false},
		"server name":     {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.ServerName = "a b" }, "sessions.redis.tls.serverName", false},
		"any certificate": {func(s *Sessions) { s.Store = "rediss://r"; s.Redis.TLS.SkipVerify = true }, "sessions.redis.tls.skipVerify", true},
		"one key":         {func(s *Sessions) { s.Keys = []string{key} }, "", false},
		"short key":       {func(s *Sessions) { s.Keys = []string{key, key[1:]} }, "sessions.keys[1]", false},
		"empty key":       {func(s *Sessions) { s.Keys = []string{""} }, "sessions.keys[0]", false},
		"a key twice":     {func(s *Sessions) { s.Keys = []string{key, key + "2", key} }, "sessions.keys[2]", false},
		"many keys": {func(s *Sessions) {
			for i := range maxKeys + 1 {
				s.Keys = append(s.Keys, key+string(rune('a'+i)))
			}
		}, "sessions.keys", false},
		"ids with keys":    {func(s *Sessions) { s.Store, s.Keys = StoreToken, []string{key} }, "", false},
		"ids without keys": {func(s *Sessions) { s.Store = StoreToken }, "sessions.keys", false},
		"Redis of ids": {func(s *Sessions) {
			s.Store, s.Keys, s.Redis.Password = StoreToken, []string{key}, "p"
		}, "sessions.redis", false},
		"keys in memory": {func(s *Sessions) { s.Store, s.Keys = StoreMemory, []string{key} }, "sessions.keys", true},
	} {
		g := Default()
		s := DefaultServer()
		s.Name, s.URL = "a", "http://a/mcp"
		g.Servers = []Server{s}
		g.Sessions.Store = "redis://127.0.0.1:6379"
		test.change(&g.Sessions)
		problems := g.Validate()
		switch {
		case test.want == "" && len(problems) == 0:
		case len(problems) != 1 || problems[0].Path != test.want || problems[0].Warning != test.warning:
			t.Errorf("%s: got %+v, want one at %q", name, problems, test.want)
		}
	}
}

// The broker gets all that there is to say of the store.
func TestBrokerGetsTheStore(t *testing.T) {
	t.Parallel()
	g := Default()
	g.Sessions.Store = "rediss://r"
	g.Sessions.Redis = gatewayconfig.Redis{Username: "u", Password: "p", TLS: gatewayconfig.RedisTLS{ServerName: "n"}}
	g.Sessions.Keys = []string{"k"}
	got := g.Broker("1").Sessions
	if got.Store != "rediss://r" || got.Redis != g.Sessions.Redis || len(got.Keys) != 1 || got.Keys[0] != "k" {
		t.Errorf("got %+v", got)
	}
}
