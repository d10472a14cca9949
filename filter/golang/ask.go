package golang

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"

	"mcp-gateway/filter"
	"mcp-gateway/filter/host"
	"mcp-gateway/internal/fault"
)

const (
	// connections is how many to one address of the broker there may be at one time.
	// More questions wait for one; gatewayconfig.Filter's Questions bounds how many.
	connections = 64
	// idleTime closes a connection before the broker does.
	idleTime    = 20 * time.Second
	dialTimeout = 2 * time.Second
	// answerLimit is the largest answer of the broker in bytes: a routing table, or a
	// server's answer to what was sent again.
	answerLimit = 64 << 20
)

// broker asks the broker's internal API. Safe for concurrent use.
type broker struct {
	client        *http.Client // nil where nothing is asked
	authorization string
	timeout       time.Duration
}

func newBroker(c *host.Config) (*broker, error) {
	f := c.Gateway.Config()
	if f.Table != nil {
		return &broker{}, nil
	}
	transport, err := transportTo(f.InternalAddress)
	if err != nil {
		return nil, err
	}
	return &broker{
		authorization: c.Authorization,
		timeout:       time.Duration(f.AskTimeout),
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (b *broker) close() {
	if b.client != nil {
		b.client.CloseIdleConnections()
	}
}

// question is one that is under way on behalf of a stream.
type question struct {
	request *http.Request
	cancel  context.CancelFunc
	// replay tells that the answer holds the stream's response back, not its request.
	replay bool
}

// answer is the broker's; status 0 for none.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// question makes one of q, of which nothing is kept.
func (b *broker) question(q *filter.Question) (*question, error) {
	if b.client == nil {
		return nil, errors.New("there is no broker to ask")
	}
	timeout := q.Timeout
	if timeout == 0 {
		timeout = b.timeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	r, err := http.NewRequestWithContext(ctx, q.Method, "http://mcp-broker"+q.Path, bytes.NewReader(bytes.Clone(q.Body)))
	if err != nil {
		cancel()
		return nil, err
	}
	if q.ETag != "" {
		r.Header.Set("If-None-Match", q.ETag)
	}
	if b.authorization != "" {
		r.Header.Set("Authorization", b.authorization)
	}
	if len(q.Body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return &question{request: r, cancel: cancel}, nil
}

// ask returns the broker's answer, and ends the question.
func (b *broker) ask(q *question) answer {
	defer q.cancel()
	resp, err := b.client.Do(q.request)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil || len(body) > answerLimit {
		return answer{}
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// headers are those of the answer as the core reads them.
func (a *answer) headers() []filter.Header {
	if a.status == 0 {
		return nil
	}
	return []filter.Header{
		{Name: ":status", Value: fmt.Sprint(a.status)},
		{Name: "content-type", Value: a.header.Get("Content-Type")},
	}
}

// begin notes the question that holds the stream back. Whoever returns api.Running
// for it starts await.
func (s *Stream) begin(q *filter.Question, replay bool) {
	made, err := s.config.broker.question(q)
	if err != nil {
		made = &question{cancel: func() {}} // is answered with nothing
	}
	made.replay = replay
	s.question = made
}

// await asks q and what follows from it, and lets the stream go on.
func (s *Stream) await(q *question) {
	for q != nil {
		a := s.asked(q)
		q = s.answered(q, &a)
	}
}

// asked is the answer to q; after a panic there is none.
func (s *Stream) asked(q *question) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			s.plugin.report(host.PhaseAnswer, r)
			s.plugin.uncounted.Add(host.PhaseAnswer)
			a = answer{}
		}
	}()
	if q.request == nil {
		return answer{}
	}
	return s.config.broker.ask(q)
}

// answered takes the answer to q, unless the stream does not wait for it any more.
// It returns the question that comes next.
func (s *Stream) answered(q *question, a *answer) (next *question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.question != q {
		return nil
	}
	s.question = nil
	phase := host.PhaseAnswer
	if q.replay {
		phase = host.PhaseReplayed
	}
	defer func() {
		if r := recover(); r != nil {
			s.panicked(phase, q.replay, r)
			next = nil
		}
	}()
	fault.At(phase.String())
	var status api.StatusType
	var to api.FilterProcessCallbacks
	if q.replay {
		to = s.callbacks.EncoderFilterCallbacks()
		status = s.carryResponse(s.core.Replayed(a.headers(), a.body))
	} else {
		to = s.callbacks.DecoderFilterCallbacks()
		status = s.carryRequest(s.core.Answer(a.status, a.body, now()))
	}
	switch status {
	case api.Running:
		return s.question
	case api.Continue:
		to.Continue(api.Continue)
	}
	return nil
}

// revalidate fetches the table in the background.
func (c *Config) revalidate() {
	defer func() {
		if r := recover(); r != nil {
			c.plugin.report(host.PhaseTable, r)
			c.plugin.uncounted.Add(host.PhaseTable)
		}
	}()
	fault.At("table_question")
	mark, wanted := c.Mark(), c.TableQuestion()
	q, err := c.broker.question(&wanted)
	if err != nil {
		return
	}
	a := c.broker.ask(q)
	if a.status == 0 {
		return
	}
	if err := c.TakeTable(a.status, a.body, mark.At); err != nil {
		api.LogWarnf("mcp-gateway: %v", err)
	}
}
