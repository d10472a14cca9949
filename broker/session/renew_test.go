package session_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/broker/session"
)

// A server may take its time: the replica that opens a session there keeps the
// claim, and the others get what it opened.
func TestSlowOpenKeepsItsClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		opened := 0
		r := session.Request{ID: id, Server: server, Open: func(ctx context.Context) (session.Backend, error) {
			opened++
			select {
			case <-time.After(lease - time.Second):
				return session.Backend{ID: "b"}, nil
			case <-ctx.Done():
				return session.Backend{}, ctx.Err()
			}
		}, Discard: func(session.Backend) { t.Error("discarded") }}
		first := make(chan error)
		go func() {
			_, err := session.NewOpener(st, lease).Open(t.Context(), r)
			first <- err
		}()
		synctest.Wait()
		b, err := session.NewOpener(st, lease).Open(t.Context(), r)
		if err != nil || b.ID != "b" || opened != 1 {
			t.Errorf("the other replica got %v, %v; opened %d times", b, err, opened)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// In a crowd the store may come to record what was opened later than the lease
// lasts: nobody else opens another one meanwhile.
func TestSlowCommitKeepsItsClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		opened := 0
		r := session.Request{ID: id, Server: server, Open: func(context.Context) (session.Backend, error) {
			opened++
			return session.Backend{ID: fmt.Sprint("b", opened)}, nil
		}, Discard: func(b session.Backend) { t.Errorf("discarded %s", b.ID) }}
		first := make(chan error)
		go func() {
			_, err := session.NewOpener(crowded{st}, lease).Open(t.Context(), r)
			first <- err
		}()
		synctest.Wait()
		b, err := session.NewOpener(st, lease).Open(t.Context(), r)
		if err != nil || b.ID != "b1" || opened != 1 {
			t.Errorf("the other replica got %v, %v; opened %d times", b, err, opened)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// crowded is a store that takes long to come to a commit.
type crowded struct{ session.Store }

func (s crowded) Commit(ctx context.Context, id session.ID, server string, t session.Token, b session.Backend) (bool, error) {
	time.Sleep(12 * time.Second)
	return s.Store.Commit(ctx, id, server, t, b)
}

// A replica that died while it opened a session blocks the others for seconds.
func TestDeadReplicaBlocksForSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		dying, cancel := context.WithCancel(t.Context())
		died := make(chan struct{})
		go func() {
			defer close(died)
			_, _ = session.NewOpener(&dead{Store: st}, lease).Open(dying, session.Request{ID: id, Server: server,
				Open:    func(ctx context.Context) (session.Backend, error) { <-ctx.Done(); return session.Backend{}, ctx.Err() },
				Discard: func(session.Backend) {},
			})
		}()
		synctest.Wait()
		began := time.Now()
		b, err := session.NewOpener(st, lease).Open(t.Context(), session.Request{ID: id, Server: server,
			Open: func(context.Context) (session.Backend, error) { return session.Backend{ID: "mine"}, nil },
		})
		if err != nil || b.ID != "mine" || time.Since(began) > 6*time.Second {
			t.Errorf("%v, %v after %v", b, err, time.Since(began))
		}
		cancel()
		<-died
	})
}

// dead is a store as a replica that has died uses it after its claim: not at all.
type dead struct{ session.Store }

func (dead) Renew(ctx context.Context, _ session.ID, _ string, _ session.Token, _ time.Duration) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (dead) Abandon(context.Context, session.ID, string, session.Token) error { return nil }

// What somebody else has claimed meanwhile is not opened to its end.
func TestLostClaimEndsTheOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, id := bench(t)
		began := time.Now()
		ended := time.Duration(0)
		_, err := session.NewOpener(st, lease).Open(t.Context(), session.Request{ID: id, Server: server,
			Open: func(ctx context.Context) (session.Backend, error) {
				if _, err := st.Store.Delete(context.WithoutCancel(ctx), id); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				ended = time.Since(began)
				return session.Backend{}, ctx.Err()
			},
			Discard: func(session.Backend) {},
		})
		if err == nil || ended == 0 || ended > 5*time.Second {
			t.Errorf("%v, the open ended after %v", err, ended)
		}
	})
}
