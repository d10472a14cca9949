package attach

import "testing"

func TestParseService(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"b.infra.svc:8891", "b.infra.svc.cluster.local:8891"} {
		s, err := ParseService(address, "cluster.local")
		if err != nil || s.Host() != "b.infra.svc.cluster.local" || s.Port != 8891 || istioCluster(&s) != "outbound|8891||b.infra.svc.cluster.local" {
			t.Errorf("%s: %+v %v", address, s, err)
		}
	}
	for _, address := range []string{
		"", "127.0.0.1:8891", "b:8891", "b.infra:8891", "b.infra.svc", "b.infra.svc:0", "b.infra.svc:70000", "b.infra.pod:1",
		"b.infra.svc.other.domain:1", ".infra.svc:1", "b..svc:1", "[::1]:8891", "unix:/b.sock",
	} {
		if s, err := ParseService(address, "cluster.local"); err == nil {
			t.Errorf("%q is taken for %+v", address, s)
		}
	}
}
