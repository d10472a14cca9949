package cluster

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcp-gateway/test/e2e/harness"
)

// Want waits until an object has a condition, "Ready=True/Listed", and returns it.
func (c *Cluster) Want(manifest, condition string) metav1.Condition {
	c.t.Helper()
	kind, wanted, _ := strings.Cut(condition, "=")
	var got metav1.Condition
	defer func() {
		if c.t.Failed() {
			c.t.Logf("instead of %s there is %s=%s/%s: %s", condition, kind, got.Status, got.Reason, got.Message)
		}
	}()
	harness.Eventually(c.t, condition, func() bool {
		got = c.Condition(manifest, kind)
		return string(got.Status)+"/"+got.Reason == wanted
	})
	return got
}

// NextSecond waits until objects are younger than those there are: the server's clock
// has seconds.
func (c *Cluster) NextSecond() {
	c.t.Helper()
	began := time.Now().Unix()
	harness.Eventually(c.t, "the next second", func() bool { return time.Now().Unix() > began })
}
