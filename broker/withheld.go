package broker

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

// blocked is a server of which nothing is offered.
type blocked struct {
	config  gatewayconfig.Server
	seen    *upstream.Snapshot
	verdict *integrity.Verdict
}

// judge brings the items of all servers up to date with their lists, and with
// what is trusted of them. It returns what it has seen of the servers, in their
// order. Called under mu.
func (b *Broker) judge() []*upstream.Snapshot {
	seen := make([]*upstream.Snapshot, len(b.servers))
	all := make([]integrity.Server, len(b.servers))
	for i, s := range b.servers {
		seen[i] = s.upstream.Snapshot()
		b.prepare(s, seen[i])
		all[i] = integrity.Server{
			Name: s.config.Name, Instructions: seen[i].Instructions, Lists: (*catalog.Lists)(s.lists), Items: s.items,
			Listed: seen[i].Listed, Complete: seen[i].Listed && seen[i].State == upstream.Ready, OnConflict: s.config.OnConflict,
		}
	}
	for i, verdict := range b.integrity.Judge(all) {
		s := b.servers[i]
		if s.offered != nil && s.verdict == verdict && s.judged == s.items {
			continue // the same pointer tells that the lists are the same
		}
		s.verdict, s.judged, s.offered = verdict, s.items, s.items
		if verdict != nil {
			s.offered = s.items.Withhold(verdict.Withheld)
		}
	}
	return seen
}

// heard returns what is seen of a server without instructions that are withheld.
func heard(snap *upstream.Snapshot, v *integrity.Verdict) *upstream.Snapshot {
	if v == nil || !v.Mute {
		return snap
	}
	mute := *snap
	mute.Instructions = ""
	return &mute
}

// Integrity returns what judges the servers' lists.
func (b *Broker) Integrity() *integrity.Keeper { return b.integrity }

// sameBlocked reports whether the same servers are blocked in both views.
func (v *view) sameBlocked(next *view) bool {
	return slices.EqualFunc(v.blocked, next.blocked, func(a, b blocked) bool { return a.config.Name == b.config.Name })
}

// IntegrityStatus is an integrity.Verdict.
type IntegrityStatus struct {
	Blocked bool `json:"blocked,omitempty"`
	// Pending tells that what was trusted is still being read or written, and that
	// nothing is offered until then.
	Pending bool `json:"pending,omitempty"`
	// Withheld counts the items that are not offered.
	Withheld int `json:"withheld,omitempty"`
	// Items are those that are not to be trusted as they are, the first
	// mostNoticed; More is how many others there are.
	Items []NoticeStatus `json:"items,omitempty"`
	More  int            `json:"more,omitempty"`
}

// NoticeStatus is an integrity.Notice. What cannot be seen is escaped.
type NoticeStatus struct {
	List     string             `json:"list"`
	Name     string             `json:"name"`
	Why      integrity.Why      `json:"why"`
	Withheld bool               `json:"withheld"`
	Changed  []string           `json:"changed,omitempty"`
	Findings []integrity.Detail `json:"findings,omitempty"`
}

// mostNoticed bounds what /status says of the items of one server.
const mostNoticed = 100

// integrityStatus returns nil for a server of which there is nothing to tell.
func integrityStatus(v *integrity.Verdict) *IntegrityStatus {
	if v == nil || !v.Blocked && !v.Pending && len(v.Notices) == 0 {
		return nil
	}
	out := &IntegrityStatus{Blocked: v.Blocked, Pending: v.Pending}
	for i := range v.Notices {
		n := &v.Notices[i]
		if n.Withheld {
			out.Withheld++
		}
		if i >= mostNoticed {
			out.More++
			continue
		}
		out.Items = append(out.Items, NoticeStatus{
			List: string(n.Kind), Name: pin.Visible(n.Name), Why: n.Why, Withheld: n.Withheld,
			Changed: n.Members[:min(len(n.Members), mostNoticed)], Findings: n.Details(),
		})
	}
	return out
}

// integrityState is what metrics tell of a server's verdict.
func integrityState(s *metrics.Server, v *integrity.Verdict) {
	s.Withheld, s.Suspect = map[string]int{}, map[string]int{}
	for k := catalog.Tools; k <= catalog.Templates; k++ {
		s.Withheld[k.String()] = 0
	}
	s.Withheld[string(pin.Instructions)] = 0
	for _, why := range []integrity.Why{integrity.WhyChanged, integrity.WhyNew, integrity.WhyFound} {
		s.Suspect[string(why)] = 0
	}
	if v == nil {
		return
	}
	s.Blocked = v.Blocked
	for i := range v.Notices {
		n := &v.Notices[i]
		if n.Withheld {
			s.Withheld[string(n.Kind)]++
		}
		if n.Why == integrity.WhyChanged || n.Why == integrity.WhyNew {
			s.Suspect[string(n.Why)]++
		}
		if len(n.Findings) > 0 {
			s.Suspect[string(integrity.WhyFound)]++
		}
	}
}

// largestApproval bounds the body of a request to approve.
const largestApproval = 4 << 20

// definitions answers integrity.Overview: of what is not trusted as it is, with
// ?all of everything.
func (b *Broker) definitions(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, b.integrity.Definitions(r.URL.Query().Has("all")))
}

// approve takes a list of integrity.Approval. 204; 409 if that is not what there
// is to approve; 503 if it cannot be kept. No page in a browser can send it, not even
// where the API has no secret: who makes a server knows what it would have to send.
func (b *Broker) approve(w http.ResponseWriter, r *http.Request) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" || len(r.Header.Values("Origin")) > 0 {
		http.Error(w, "want application/json, and not from a web page", http.StatusForbidden)
		return
	}
	var approvals []integrity.Approval
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestApproval))
	if err == nil {
		err = gatewayconfig.Decode(body, &approvals)
	}
	if err != nil {
		http.Error(w, "want a list of server, kind, name and hash", http.StatusBadRequest)
		return
	}
	switch err := b.integrity.Approve(r.Context(), approvals); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, integrity.ErrOff), errors.Is(err, integrity.ErrLocked), errors.Is(err, integrity.ErrUnknown), errors.Is(err, integrity.ErrStale):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		b.log.Warn("approval cannot be kept", zap.Error(err))
		http.Error(w, "what was approved cannot be kept: see the log", http.StatusServiceUnavailable)
	}
}
