// Package sessiontest is the conformance suite of session.Store: a store is
// right if Run passes on it.
package sessiontest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
)

// Fixture is one empty store, made for one test.
type Fixture struct {
	// Open returns one more handle on the store, as another replica has one.
	Open func(testing.TB) session.Store
	// Advance moves the clock of all handles. It stands still otherwise.
	Advance func(time.Duration)
	// Dump returns all that a reader of the store would see. Nil for a store
	// that nobody can read.
	Dump func(testing.TB) string
	// MintsIDs: an id is of one session for good, see session.Store.Mint.
	MintsIDs bool
	// LargestSession is how many bytes of ClientInfo the store takes; 0 is any
	// number.
	LargestSession int
	// SendsBlindly: the store cannot tell that nobody listens to a mailbox.
	SendsBlindly bool
}

// NewFixture makes a Fixture whose handles have the timeouts.
type NewFixture func(*testing.T, session.Timeouts) Fixture

const (
	idle     = 10 * time.Minute
	lifetime = time.Hour
	lease    = 30 * time.Second
	server   = "weather"

	// patience bounds the wait for what must happen; it is never waited out by
	// a store that is right.
	patience = 20 * time.Second
)

// Run checks a store against the contract of session.Store.
func Run(t *testing.T, newFixture NewFixture) {
	t.Helper()
	tests := map[string]func(*testing.T, Fixture){
		"KeepsSessionByteForByte":          keepsSession,
		"CreateIsRepeatable":               createIsRepeatable,
		"UnknownSession":                   unknownSession,
		"IdleSessionExpires":               idleSessionExpires,
		"UseExtendsBelowHalf":              useExtendsBelowHalf,
		"ClaimIsUse":                       claimIsUse,
		"LifetimeEndsUsedSession":          lifetimeEndsUsedSession,
		"DeleteReturnsBackends":            deleteReturnsBackends,
		"DeleteHasOneWinner":               deleteHasOneWinner,
		"ExpiredHandsOutOnce":              expiredHandsOutOnce,
		"ExpiredKeepsLimit":                expiredKeepsLimit,
		"ExpiredSparesUsedSession":         expiredSparesUsedSession,
		"CapOfPrincipal":                   capOfPrincipal,
		"CapOfPrincipalSparesUsedSession":  capSparesUsedSession,
		"CapOfPrincipalFreedByExpired":     capFreedByExpired,
		"CapIsThatOfTheCall":               capIsThatOfTheCall,
		"CapOfAllSessions":                 capOfAllSessions,
		"RacingCreatesKeepCaps":            racingCreatesKeepCaps,
		"NoPlainIDInStore":                 noPlainID,
		"CanceledContext":                  canceledContext,
		"ClaimWaitCommitHave":              claimWaitCommitHave,
		"ServersAreApart":                  serversAreApart,
		"KeepsBackendByteForByte":          keepsBackend,
		"LapsedLeaseGoesToNext":            lapsedLeaseGoesToNext,
		"RenewedLeaseGoesOn":               renewedLeaseGoesOn,
		"LateCommitWithoutRivalCounts":     lateCommitCounts,
		"CommitIsRepeatable":               commitIsRepeatable,
		"CommitAfterDeleteIsLost":          commitAfterDeleteIsLost,
		"CommitAfterExpiryIsLost":          commitAfterExpiryIsLost,
		"AbandonFreesClaim":                abandonFreesClaim,
		"DropForgetsOnlyTheOneNamed":       dropForgetsOnlyTheOneNamed,
		"InvalidationsReachOtherReplicas":  invalidationsReachOthers,
		"InvalidationsEndWithContext":      invalidationsEnd,
		"KeepsSettings":                    keepsSettings,
		"SettingsAreNoBackends":            settingsAreNoBackends,
		"SettingsAreBounded":               settingsAreBounded,
		"SettingsEndWithSession":           settingsEndWithSession,
		"SettingsAreUses":                  settingsAreUses,
		"MailReachesWhoListens":            mailReachesWhoListens,
		"MailToNobody":                     mailToNobody,
		"MailIsBounded":                    mailIsBounded,
		"MailEndsWithContext":              mailEnds,
		"RacingReplicasOpenOnce":           racingReplicasOpenOnce,
		"LoserDiscardsItsOwn":              loserDiscardsItsOwn,
		"RaceWithDeleteLeavesNoOrphan":     raceWithDelete,
		"RacingReopensReplaceStaleSession": racingReopens,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newFixture(t, session.Timeouts{Idle: idle, Lifetime: lifetime}))
		})
	}
	t.Run("LifetimeShorterThanIdle", func(t *testing.T) {
		t.Parallel()
		lifetimeShorterThanIdle(t, newFixture(t, session.Timeouts{Idle: lifetime, Lifetime: idle}))
	})
}

// aSession returns a session with an id of its own.
func aSession() session.Session {
	return session.Session{
		ID:           session.NewID(),
		Version:      mcp.Revision20250618,
		ClientInfo:   json.RawMessage(`{"name":"test","version":"1"}`),
		Capabilities: json.RawMessage(`{"roots":{}}`),
		Principal:    "p",
	}
}

func aBackend(id string) session.Backend {
	return session.Backend{ID: id, Version: mcp.Revision20251125}
}

func create(t *testing.T, st session.Store) session.ID {
	t.Helper()
	s := aSession()
	must(t, st.Create(t.Context(), s, session.Caps{}))
	return s.ID
}

// claimed claims and fails unless the claim is the caller's.
func claimed(t *testing.T, st session.Store, id session.ID, server string) session.Token {
	t.Helper()
	c, err := st.Claim(t.Context(), id, server, lease)
	must(t, err)
	if c.State != session.Claimed || c.Token == "" {
		t.Fatalf("Claim at %s: got %+v, want Claimed with a token", server, c)
	}
	return c.Token
}

// opened claims and commits.
func opened(t *testing.T, st session.Store, id session.ID, server string, b session.Backend) {
	t.Helper()
	wantCommit(t, st, id, server, claimed(t, st, id, server), b, true)
}

func wantCommit(t *testing.T, st session.Store, id session.ID, server string, tok session.Token, b session.Backend, want bool) {
	t.Helper()
	won, err := st.Commit(t.Context(), id, server, tok, b)
	must(t, err)
	if won != want {
		t.Fatalf("Commit of %q at %s: got %v, want %v", b.ID, server, won, want)
	}
}

func wantHave(t *testing.T, st session.Store, id session.ID, server string, b session.Backend) {
	t.Helper()
	c, err := st.Claim(t.Context(), id, server, lease)
	must(t, err)
	if diff := cmp.Diff(session.Claim{State: session.Have, Backend: b}, c); diff != "" {
		t.Fatalf("Claim at %s (-want +got):\n%s", server, diff)
	}
}

func wantState(t *testing.T, st session.Store, id session.ID, server string, want session.State) {
	t.Helper()
	c, err := st.Claim(t.Context(), id, server, lease)
	must(t, err)
	if c.State != want {
		t.Fatalf("Claim at %s: got %+v, want state %d", server, c, want)
	}
}

func wantLive(t *testing.T, st session.Store, id session.ID) {
	t.Helper()
	_, err := st.Get(t.Context(), id)
	must(t, err)
}

func wantNotFound(t *testing.T, st session.Store, id session.ID) {
	t.Helper()
	if _, err := st.Get(t.Context(), id); !errors.Is(err, session.ErrNotFound) {
		t.Fatalf("Get: got error %v, want ErrNotFound", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receive returns the next invalidation.
func receive(t *testing.T, ch <-chan session.Invalidation) session.Invalidation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case inv, ok := <-ch:
		if !ok {
			t.Fatal("invalidations: channel closed")
		}
		return inv
	case <-ctx.Done():
		t.Fatal("invalidations: none arrived")
	}
	panic("unreachable")
}
