//go:build cgo

package main

import (
	"strings"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
)

// wrong does what a plugin must not.
func (s *stream) wrong(action string, to api.FilterProcessCallbacks, h api.HeaderMap, b api.BufferInstance) api.StatusType {
	switch action {
	case "twice":
		return s.later(func() { to.Continue(api.Continue); to.Continue(api.Continue) })
	case "both":
		to.Continue(api.Continue)
		return api.Continue
	case "unsaid":
		return api.LocalReply
	case "unknown":
		return 42
	case "wants-more":
		return api.StopAndBuffer
	case "line-break":
		to.SendLocalReply(418, "", map[string][]string{"x-reply": {"a\r\nb: c"}}, -1, "")
		return api.LocalReply
	case "odd-name":
		h.Set("x y", "z")
	case "no-status":
		to.SendLocalReply(99, "", nil, -1, "")
		return api.LocalReply
	case "keep":
		s.headers, s.buffer = h, b
	case "use-headers":
		if s.headers != nil {
			s.headers.Set("x-late", "1")
		}
	case "use-buffer":
		if s.buffer != nil {
			must(s.buffer.SetString("late"))
		}
		s.buffer = b
	case "after", "callback-after":
		s.do["destroy"] = action
		return api.Running
	default:
		panic("no such action: " + action)
	}
	return api.Continue
}

// late uses the stream after it was destroyed, if asked to.
func (s *stream) late(api.DestroyReason) {
	to := s.callbacks.DecoderFilterCallbacks()
	switch s.do["destroy"] {
	case "callback-after":
		to.Continue(api.Continue) // still within OnDestroy: contrib says no
	case "after":
		done := make(chan struct{})
		go func() {
			// The host has counted the stream as destroyed when another one works.
			for strings.Contains(state(), "created=1 ") {
			}
			close(done)
			to.Continue(api.Continue)
		}()
	}
}
