package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// Kinds of mail about calls that another replica may hold.
const (
	// mailAnswer brings what a client has answered to a question: the session's
	// key, the question's number and the server, with spaces between, a line
	// break, the response.
	mailAnswer = "answer"
	// mailCancel takes a call back: the session's key, a space, the id.
	mailCancel = "cancel"
)

// crossings are the calls of clients with a session at stateless servers that
// this replica holds, and the questions in them that wait for the client.
type crossings struct {
	instance string

	mu        sync.Mutex
	count     int
	ofOne     map[string]int // by principal
	bySession map[session.Key]map[*crossing]struct{}
	number    uint64 // of the last question, or message to a server
	questions map[uint64]question
}

// question is what a server asks a client in a call.
type question struct {
	of    *crossing
	index int // among those of its round
	// to has room for the answers of a round.
	to chan<- clientAnswer
}

// clientAnswer is the client's response to one question.
type clientAnswer struct {
	index   int
	message []byte
}

func newCrossings(m *mail) *crossings {
	x := &crossings{
		instance:  m.instance,
		ofOne:     make(map[string]int),
		bySession: make(map[session.Key]map[*crossing]struct{}),
		questions: make(map[uint64]question),
	}
	m.handle(mailAnswer, x.answer)
	m.handle(mailCancel, x.cancel)
	return x
}

// add takes in a call; false if there are most already, or a principal's share.
func (x *crossings) add(c *crossing, most int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	of := c.call.session.Principal
	if x.count >= most || of != "" && x.ofOne[of] >= gatewayconfig.Share(most) {
		return false
	}
	x.count++
	x.ofOne[of]++
	if x.bySession[c.key] == nil {
		x.bySession[c.key] = make(map[*crossing]struct{})
	}
	x.bySession[c.key][c] = struct{}{}
	return true
}

func (x *crossings) remove(c *crossing) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count--
	of := c.call.session.Principal
	if x.ofOne[of]--; x.ofOne[of] == 0 {
		delete(x.ofOne, of)
	}
	delete(x.bySession[c.key], c)
	if len(x.bySession[c.key]) == 0 {
		delete(x.bySession, c.key)
	}
}

// next returns a raw id that no other request of this replica has.
func (x *crossings) next() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.number++
	return strconv.AppendUint(nil, x.number, 10)
}

// ask registers a question and returns the raw id by which its answer finds here,
// still without a mark. forget must be called with it.
func (x *crossings) ask(q question) (number uint64, id []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.number++
	x.questions[x.number] = q
	return x.number, []byte(`"` + x.instance + "." + strconv.FormatUint(x.number, 10) + `"`)
}

func (x *crossings) forget(number uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.questions, number)
}

// end ends the calls of a session that has ended.
func (x *crossings) end(key session.Key) { x.stop(key, "", errSessionEnded) }

// stop ends the calls of a session with an id, or all if that is empty.
func (x *crossings) stop(key session.Key, id string, why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.bySession[key] {
		if id == "" || id == c.id {
			c.stop(why)
		}
	}
}

// cancel handles mailCancel.
func (x *crossings) cancel(payload []byte) {
	text, id, _ := strings.Cut(string(payload), " ")
	if key, err := session.ParseKey(text); err == nil && id != "" {
		x.stop(key, id, errTakenBack)
	}
}

// answer handles mailAnswer. Only the first answer counts, and only the session
// that was asked can give it, for the server that asked.
func (x *crossings) answer(payload []byte) {
	head, message, _ := bytes.Cut(payload, []byte{'\n'})
	of := strings.Split(string(head), " ")
	if len(of) != 3 {
		return
	}
	number, err := strconv.ParseUint(of[1], 10, 64)
	if err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	q, ok := x.questions[number]
	if !ok || q.of.key.String() != of[0] || q.of.server != of[2] {
		return
	}
	delete(x.questions, number)
	q.to <- clientAnswer{q.index, bytes.Clone(message)} // has room
}

// passAnswer brings a client's response to the call that waits for it, wherever
// that is. True if the message was one for a call and has been answered.
func (b *Broker) passAnswer(c *call) bool {
	if c.msg.Kind != jsonrpc.Response {
		return false
	}
	server, raw, ok := tag.CutToken([]byte(c.session.ID), c.msg.ID.Of(c.body), nil)
	if !ok {
		return false
	}
	text, _ := jsonrpc.Unquote(nil, raw)
	instance, digits, ok := strings.Cut(string(text), ".")
	number, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || !isInstance(instance) { // a client can make up marks of its own session
		return false
	}
	head := fmt.Sprintf("%s %d %s\n", c.session.ID.Key(), number, server)
	_, err = b.mail.send(c.r.Context(), instance, mailAnswer, append([]byte(head), c.body...))
	if errors.Is(err, session.ErrTooLarge) {
		// Who waits must hear of it.
		refusal := jsonrpc.AppendError([]byte(head), c.msg.ID.Of(c.body), mcp.CodeInternalError, "the client's answer is too large", nil)
		_, err = b.mail.send(c.r.Context(), instance, mailAnswer, refusal)
		if err == nil {
			c.id = nil
			c.fail(http.StatusRequestEntityTooLarge, mcp.CodeInvalidRequest, "the answer is too large")
			return true
		}
	}
	if err != nil {
		c.id = nil
		b.failStore(c, err)
		return true
	}
	c.w.WriteHeader(http.StatusAccepted)
	return true
}

// takeBack ends the call that a notifications/cancelled names, wherever it is.
func (b *Broker) takeBack(ctx context.Context, c *call) {
	id := c.msg.Cancelled.Of(c.body)
	if id == nil || !c.view.hasModernOnly() {
		return
	}
	payload := c.session.ID.Key().String() + " " + plainID(id)
	if _, err := b.mail.send(ctx, everybody, mailCancel, []byte(payload)); err != nil {
		b.log.Warn("cancellation may not reach its call", zap.Error(err))
	}
}

// plainID returns an id in a form that does not depend on how it is escaped.
func plainID(raw json.RawMessage) string {
	if text, ok := jsonrpc.Unquote(nil, raw); ok {
		return string(jsonrpc.AppendQuote(nil, text))
	}
	return string(raw)
}
