package runner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/controlplane/gateway"
)

func TestAnAddressThatAServerHasLeftStaysAWhile(t *testing.T) {
	t.Parallel()
	at := func(servers ...string) *gateway.Gateway { // name, url, ...
		g := gateway.Default()
		for i := 0; i < len(servers); i += 2 {
			g.Servers = append(g.Servers, gateway.Server{Name: servers[i], URL: servers[i+1], Enabled: true})
		}
		return &g
	}
	var m moved
	var before *gateway.Gateway
	now := time.Unix(0, 0)
	for _, step := range []struct {
		after time.Duration
		g     *gateway.Gateway
		want  []string // URLs of all servers
	}{
		{0, at("a", "http://1/", "b", "http://2/"), []string{"http://1/", "http://2/"}},
		{0, at("a", "http://3/", "b", "http://2/other"), []string{"http://3/", "http://2/other", "http://1/"}},
		{time.Second, at("a", "http://4/"), []string{"http://4/", "http://3/", "http://1/"}},
		{time.Second, at("a", "http://3/"), []string{"http://3/", "http://4/", "http://1/"}},
		{movedFor - 2*time.Second, at("a", "http://3/"), []string{"http://3/", "http://4/"}},
		{0, at("a", "https://3/"), []string{"https://3/", "http://3/", "http://4/"}},
		{time.Second, at("b", "http://2/"), []string{"http://2/"}},
	} {
		now = now.Add(step.after)
		m = m.follow(before, step.g, now)
		var got []string
		for _, s := range m.with(step.g).Servers {
			got = append(got, s.URL)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		before = step.g
	}
}
