package load

import (
	"context"
	"runtime"
	"syscall"
	"time"
)

// closedLoop lets every client call without pause for d, and returns the time
// until the last answer. Every client makes at least one call.
func closedLoop(ctx context.Context, clients []*client, d time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	end := begin.Add(d)
	err := each(clients, func(i int) error {
		for {
			now := time.Now()
			if err := clients[i].call(now); err != nil {
				cancel()
				return err
			}
			if !time.Now().Before(end) || ctx.Err() != nil {
				return nil
			}
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	return time.Since(begin), err
}

// fixedRate makes rate calls per second for d, each by the client that is idle
// longest, and returns the time until the last answer.
func fixedRate(ctx context.Context, clients []*client, d time.Duration, rate float64) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calls := max(1, int(rate*d.Seconds()))
	due := make(chan time.Time, calls) // never holds up the schedule
	begin := time.Now()
	go func() {
		defer close(due)
		// The runtime's timers wake some 1 ms late on an idle process, which
		// would send calls in bursts; a thread asleep in the kernel wakes
		// within 0.1 ms.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for n := range calls {
			at := begin.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			for wait := time.Until(at); wait > 0; wait = time.Until(at) {
				ts := syscall.NsecToTimespec(int64(wait))
				_ = syscall.Nanosleep(&ts, nil) // interrupted: the loop sleeps the rest
			}
			if ctx.Err() != nil {
				return
			}
			due <- at
		}
	}()
	err := each(clients, func(i int) error {
		for at := range due {
			if err := clients[i].call(at); err != nil {
				cancel()
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return time.Since(begin), err
}
