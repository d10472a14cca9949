package dynamicmodule

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
)

func TestInternalError(t *testing.T) {
	t.Parallel()
	b, v := AppendInternalError(nil)
	if v != Verdict(filter.Reply)|Done {
		t.Errorf("verdict %x", v)
	}
	want := []string{"1 content-type=application/json", "1 retry-after=5", "4 =" + host.InternalError, "6 panic="}
	if diff := cmp.Diff(want, records(t, b)); diff != "" {
		t.Error(diff)
	}
}

func TestUncountedPanicsAreCountedOnce(t *testing.T) {
	t.Parallel()
	var u host.Uncounted
	u.Add(host.PhaseTable)
	u.Add(host.PhaseTable)
	u.Add(host.PhaseRelease)
	want := []string{"7 table=", "7 table=", "7 release="}
	if diff := cmp.Diff(want, records(t, AppendUncounted(nil, &u))); diff != "" {
		t.Error(diff)
	}
	if b := AppendUncounted(nil, &u); len(b) > 0 {
		t.Errorf("counted again: %v", records(t, b))
	}
}
