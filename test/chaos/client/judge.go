package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/server"
)

// reply is a JSON-RPC answer.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// settle sets how the call with the number n ended, unless it was answered with a
// result, which it returns.
func settle(c *check.Call, n uint64, r *response, err error) json.RawMessage {
	if r != nil {
		c.Status = r.status
	}
	if err != nil {
		c.Outcome, c.Detail = outcomeOf(err)
		return nil
	}
	if len(bytes.TrimSpace(r.message)) == 0 {
		c.Outcome, c.Detail = check.Empty, "no message in the answer"
		return nil
	}
	var m reply
	if err := json.Unmarshal(r.message, &m); err != nil {
		c.Outcome, c.Detail = check.Empty, fmt.Sprintf("no JSON-RPC: %.200q", r.message)
		return nil
	}
	switch {
	case r.results != 1:
		c.Outcome, c.Detail = check.Wrong, fmt.Sprintf("%d answers to one call", r.results)
	case string(m.ID) != strconv.FormatUint(n, 10):
		c.Outcome, c.Detail = check.Wrong, fmt.Sprintf("the answer's id is %s, want %d: %.200s", m.ID, n, r.message)
		if m.Error != nil && string(m.ID) == "null" {
			c.Outcome = check.Empty
		}
	case m.Error != nil && m.Error.Message == "":
		c.Outcome, c.Code, c.Detail = check.Empty, m.Error.Code, "an error without message"
	case m.Error != nil:
		c.Outcome, c.Code, c.Detail = check.Clean, m.Error.Code, m.Error.Message
	case r.status != http.StatusOK:
		c.Outcome, c.Detail = check.Wrong, "a result with an error's status"
	default:
		c.Outcome = check.OK
		return m.Result
	}
	return nil
}

// answered checks the result of a tool: it is that server's, for this call, in a
// session of owner's or, if there is no owner, in none.
func answered(k *check.Checker, c *check.Call, n uint64, result json.RawMessage, owner string, only bool) *server.Answer {
	wrong := func(format string, args ...any) *server.Answer {
		c.Outcome, c.Detail = check.Wrong, fmt.Sprintf(format, args...)
		return nil
	}
	var tool struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	var a server.Answer
	if json.Unmarshal(result, &tool) != nil || len(tool.Content) != 1 || json.Unmarshal([]byte(tool.Content[0].Text), &a) != nil {
		return wrong("no answer of a server: %.300s", result)
	}
	switch {
	case a.Server != c.Server:
		return wrong("the server %s answered", a.Server)
	case a.N != n:
		return wrong("the answer to the call %d, want %d", a.N, n)
	case (a.Session == "") != (owner == ""):
		return wrong("session at the server: %t, want %t", a.Session != "", owner != "")
	}
	if owner != "" {
		if what := k.Session(owner, only, a.Server, a.Run, a.Session); what != "" {
			return wrong("%s", what)
		}
	}
	if more := k.Again(a.Server, a.Run, a.Again); more > 0 {
		return wrong("%d calls reached the server twice", more)
	}
	return &a
}
