package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is the time within which a second signal says the same as the first: a
// terminal and a script around this program send one each.
const sameSignal = 300 * time.Millisecond

type hurryKey struct{}

// hurry returns a channel that is closed when whoever has asked for the end asks
// again; nil, for never, without that.
func hurry(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(hurryKey{}).(<-chan struct{})
	return c
}

// untilSignal returns a context that ends with the first SIGINT, SIGTERM or SIGHUP,
// with hurry for the next one. No signal cuts the orderly end itself short. Who has
// SIGHUP ignored, as nohup does, wants the program to outlive the terminal.
func untilSignal() context.Context {
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(got, syscall.SIGHUP)
	}
	again := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), hurryKey{}, (<-chan struct{})(again)))
	go func() {
		<-got
		first := time.Now()
		cancel()
		for range got {
			if time.Since(first) >= sameSignal {
				close(again)
				return
			}
		}
	}()
	return ctx
}
