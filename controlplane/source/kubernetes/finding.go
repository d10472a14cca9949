package kubernetes

import (
	"fmt"

	"mcp-gateway/controlplane/api/v1alpha1"
)

// finding is why a condition is not true. It is an error, so that what looks at a
// reference returns what is wrong with it.
type finding struct {
	condition string // ConditionAccepted or ConditionResolvedRefs
	reason    string
	message   string
}

func (f *finding) Error() string { return f.message }

func refused(reason, format string, args ...any) *finding {
	return &finding{v1alpha1.ConditionAccepted, reason, fmt.Sprintf(format, args...)}
}

func unresolved(reason, format string, args ...any) *finding {
	return &finding{v1alpha1.ConditionResolvedRefs, reason, fmt.Sprintf(format, args...)}
}

// Verdict is what is said of an object before anything is served: nil is no
// objection.
type Verdict struct {
	Accepted *finding
	Resolved *finding
}

// Served reports whether there is no objection.
func (v *Verdict) Served() bool { return v.Accepted == nil && v.Resolved == nil }

// add takes the first objection of each kind.
func (v *Verdict) add(f *finding) {
	switch {
	case f == nil:
	case f.condition == v1alpha1.ConditionAccepted && v.Accepted == nil:
		v.Accepted = f
	case f.condition == v1alpha1.ConditionResolvedRefs && v.Resolved == nil:
		v.Resolved = f
	}
}
