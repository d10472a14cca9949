//go:build cgo

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
)

// act does in a phase what was asked for. h or b is nil.
func (s *stream) act(phase string, to api.FilterProcessCallbacks, h api.HeaderMap, b api.BufferInstance) api.StatusType {
	s.seen = append(s.seen, phase)
	name, _, _ := strings.Cut(phase, "(")
	action, argument, _ := strings.Cut(s.do[name], ":")
	if after, ok := strings.CutPrefix(action, "once-"); ok {
		s.do[name], action = "", after
	}
	switch action {
	case "", "continue":
	case "buffer":
		return wait(phase, api.StopAndBuffer)
	case "watermark":
		return wait(phase, api.StopAndBufferWatermark)
	case "drop":
		return wait(phase, api.StopNoBuffer)
	case "async":
		return s.later(func() { to.Continue(api.Continue) })
	case "slow":
		return s.laterAfter(100*time.Millisecond, func() { to.Continue(api.Continue) })
	case "async-buffer":
		return s.later(func() { to.Continue(api.StopAndBuffer) })
	case "reply":
		s.reply(to, argument)
		return api.LocalReply
	case "async-reply":
		return s.later(func() { s.reply(to, argument) })
	case "set":
		if b != nil {
			must(b.SetString(argument))
		} else {
			h.Set("x-set", argument)
		}
	case "async-set":
		return s.later(func() {
			if b != nil {
				must(b.SetString(argument))
			} else {
				h.Set("x-set", argument)
				h.Del("x-unwanted")
			}
			to.Continue(api.Continue)
		})
	case "append":
		must(b.AppendString(argument))
	case "prepend":
		must(b.PrependString(argument))
	case "drain":
		n, _ := strconv.Atoi(argument)
		b.Drain(n)
	case "upper":
		must(b.SetString(strings.ToUpper(b.String())))
	case "add":
		to.AddData([]byte(argument), true)
	case "inject":
		return s.later(func() { to.InjectData([]byte(argument)); to.Continue(api.Continue) })
	case "note":
		m := s.callbacks.StreamInfo().DynamicMetadata()
		m.Set("plugin", "text", argument)
		m.Set("plugin", "number", 7)
		m.Set("plugin", "truth", true)
		h.Set("x-note", fmt.Sprint(m.Get("plugin")))
	case "async-note":
		return s.later(func() {
			m := s.callbacks.StreamInfo().DynamicMetadata()
			m.Set("plugin", "text", argument)
			h.Set("x-note", fmt.Sprint(m.Get("plugin")["text"]))
			to.Continue(api.Continue)
		})
	case "route":
		h.Set("x-to", argument)
		s.callbacks.ClearRouteCache()
	case "async-route":
		return s.later(func() {
			h.Set("x-to", argument)
			s.callbacks.RefreshRouteCache()
			to.Continue(api.Continue)
		})
	case "info":
		i := s.callbacks.StreamInfo()
		protocol, _ := i.Protocol()
		path, _ := s.callbacks.GetProperty("request.path")
		h.Set("x-info", fmt.Sprint(protocol, " ", i.GetRouteName(), " ", i.WorkerID() < 64, " ", path,
			" ", strings.HasPrefix(i.DownstreamRemoteAddress(), "127.0.0.1")))
	case "state":
		i := s.callbacks.StreamInfo().FilterState()
		i.SetString("plugin.state", argument, api.StateTypeReadOnly, api.LifeSpanRequest, api.None)
		h.Set("x-state", i.GetString("plugin.state"))
	case "trailer":
		h.Set("x-trailer", argument)
		h.Del("x-unwanted")
	case "counts":
		s.reply(to, state())
		return api.LocalReply
	case "count":
		s.config.callbacks.DefineCounterMetric(argument).Increment(2)
	case "panic":
		panic("as asked for")
	case "never":
		return api.Running
	default:
		return s.wrong(action, to, h, b)
	}
	return api.Continue
}

// wait is status, unless there is nothing to wait for.
func wait(phase string, status api.StatusType) api.StatusType {
	if strings.HasSuffix(phase, ",true)") {
		return api.Continue
	}
	return status
}

func (s *stream) later(f func()) api.StatusType { return s.laterAfter(0, f) }

// laterAfter runs f in a goroutine unless the stream is gone by then. It cannot go
// while f runs.
func (s *stream) laterAfter(pause time.Duration, f func()) api.StatusType {
	go func() {
		defer s.callbacks.DecoderFilterCallbacks().RecoverPanic()
		<-time.After(pause)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.gone {
			f()
		}
	}()
	return api.Running
}

func (s *stream) reply(to api.FilterProcessCallbacks, text string) {
	to.SendLocalReply(418, text, map[string][]string{"x-reply": {"one", "two"}}, -1, "plugin_reply")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
