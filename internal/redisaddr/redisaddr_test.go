package redisaddr_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/redisaddr"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]redisaddr.Address{
		"redis://r":                      {Nodes: []string{"r:6379"}},
		"redis://r:1/":                   {Nodes: []string{"r:1"}},
		"redis://[::1]:1/3":              {Nodes: []string{"[::1]:1"}, Database: 3},
		"redis://[::1]":                  {Nodes: []string{"[::1]:6379"}},
		"rediss://u:p%2F%40@r:6380/1":    {Nodes: []string{"r:6380"}, Username: "u", Password: "p/@", Database: 1, TLS: true},
		"redis://:p@r?pool_size=50":      {Nodes: []string{"r:6379"}, Password: "p", PoolSize: 50},
		"redis://a:1?addr=b:2&addr=c":    {Nodes: []string{"a:1", "b:2", "c:6379"}, Cluster: true},
		"redis://a:1?addr=a:1":           {Nodes: []string{"a:1"}, Cluster: true},
		"rediss://a/0?addr=b":            {Nodes: []string{"a:6379", "b:6379"}, Cluster: true, TLS: true},
		"redis://a/2?master_name=m":      {Nodes: []string{"a:26379"}, Master: "m", Database: 2},
		"redis://a?addr=b&master_name=m": {Nodes: []string{"a:26379", "b:26379"}, Master: "m"},
		"unix:///run/redis.sock":         {Nodes: []string{"/run/redis.sock"}},
		"unix://u:p@/run/r?db=4":         {Nodes: []string{"/run/r"}, Username: "u", Password: "p", Database: 4},
	} {
		got, err := redisaddr.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", text, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "memory", "r:6379", "http://u:hunter2@r", "redis:r", "redis://", "redis://:6379", "redis:///0",
		"redis://u:hunter2@r:port", "redis://r:0", "redis://r:65536", "redis://r:", "redis://::1", "redis://[fe80::1%25eth0]",
		"redis://a:1,b:2", "redis://u:hunter2@a,b", "redis://r/x", "redis://r/-1", "redis://r/0/1", "redis://r#hunter2",
		"redis://u@r", "redis://r?db=1", "redis://r?poolsize=5", "redis://r?pool_size=0", "redis://r?pool_size=", "redis://r?pool_size=1&pool_size=2",
		"redis://r?addr=", "redis://r?addr=nowhere:x", "redis://r/1?addr=b", "redis://r?master_name=", "redis://r?master_name=a%20b",
		"redis://r?hunter2=1", "redis://r?a=%zz", "rediss://r?skip_verify=true", "unix://", "unix:///", "unix://host/path", "unix:path",
		"unix:///r?addr=b", "unix:///r?master_name=m", "unix:///r?db=x", "redis://u:hunter2@r\x7f", "redis://u:hun/ter2@r",
	} {
		got, err := redisaddr.Parse(text)
		if err == nil {
			t.Errorf("%q: accepted as %+v", text, got)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: the error shows the password: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis://u:p@r:1/0?addr=a:1&pool_size=3")
	f.Add("unix:///r?db=1")
	f.Add("redis://[::1]?master_name=m")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := redisaddr.Parse(text)
		if err == nil && (len(a.Nodes) == 0 || a.Cluster && a.Master != "" || a.Username != "" && a.Password == "") {
			t.Errorf("%q: accepted as %+v", text, a)
		}
	})
}

func TestTLSRefuses(t *testing.T) {
	t.Parallel()
	for want, c := range map[error]redisaddr.TLS{
		redisaddr.ErrCA:          {CA: "hunter2"},
		redisaddr.ErrCertificate: {Certificate: "hunter2"},
	} {
		if _, err := c.Config(); err != want {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	if _, err := (redisaddr.TLS{Key: "x"}).Config(); err != redisaddr.ErrCertificate {
		t.Errorf("a key alone: got error %v, want ErrCertificate", err)
	}
	if c, err := (redisaddr.TLS{}).Config(); err != nil || c.InsecureSkipVerify || c.RootCAs != nil {
		t.Errorf("no settings: got %+v, %v", c, err)
	}
}
