// Mcpgo runs a list of steps against an MCP endpoint with the client of mcp-go and
// prints one JSON document of what that handed to its user.
//
//	mcpgo URL STEPS REVISION OPTIONS
//
// Steps, options and output are those of ../ts/client.mjs, of which it knows what
// the tests of the eras want. REVISION is the one to speak: from 2026-07-28 on it
// is stateless.
package main

//lint:file-ignore SA1019 the revisions with sessions need what the library deprecates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

const patience = 10 * time.Second

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: mcpgo URL STEPS REVISION OPTIONS")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], []byte(os.Args[2]), os.Args[3], []byte(os.Args[4])); err != nil {
		fmt.Fprintln(os.Stderr, "mcpgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, stepsText []byte, revision string, optionsText []byte) error {
	var steps []step
	var options struct{ Answers map[string]answer }
	if err := errors.Join(json.Unmarshal(stepsText, &steps), json.Unmarshal(optionsText, &options)); err != nil {
		return err
	}
	modern := mcp.IsModernProtocol(revision)
	var http []transport.StreamableHTTPCOption
	if !modern {
		http = append(http, transport.WithContinuousListening()) // the session's own stream
	}
	over, err := transport.NewStreamableHTTP(url, http...)
	if err != nil {
		return err
	}
	u := &user{answers: options.Answers, progress: map[string][]progress{}, heard: make(chan struct{}, 1)}
	u.client = client.NewClient(over, append(u.handlers(), client.WithProtocolVersion(revision))...)
	u.client.OnNotification(u.notified)
	if err := u.client.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = revision
	hello.Params.ClientInfo = mcp.Implementation{Name: "test-client-mcpgo", Version: "1.0.0"}
	initialized, err := u.client.Initialize(ctx, hello)
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	outcomes := []outcome{}
	for _, s := range steps {
		outcomes = append(outcomes, u.record(ctx, s))
	}
	if err := u.client.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"initialize": map[string]any{
			"protocolVersion": u.client.ProtocolVersion(), "serverInfo": initialized.ServerInfo,
			"capabilities": initialized.Capabilities, "instructions": initialized.Instructions,
		},
		"steps": outcomes, "notifications": u.notifications, "requests": u.requests,
	})
}

// step is one thing to do.
type step struct {
	Do, Name, URI, Level, Method, Text string
	Arguments                          json.RawMessage
	Until                              string
	Cancel, Tools                      bool
	URIs                               []string
	Meta                               map[string]any
}

// outcome is what became of it.
type outcome struct {
	Result   any        `json:"result,omitempty"`
	Progress []progress `json:"progress,omitempty"`
	Error    *failure   `json:"error,omitempty"`
}

type progress struct {
	Progress any `json:"progress"`
	Total    any `json:"total"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// codes are those of the errors that mcp-go has instead.
var codes = map[error]int{
	mcp.ErrInvalidRequest: mcp.INVALID_REQUEST, mcp.ErrMethodNotFound: mcp.METHOD_NOT_FOUND,
	mcp.ErrInvalidParams: mcp.INVALID_PARAMS, mcp.ErrInternalError: mcp.INTERNAL_ERROR,
	mcp.ErrResourceNotFound: mcp.RESOURCE_NOT_FOUND,
}

func (u *user) record(ctx context.Context, s step) (o outcome) {
	result, err := u.do(ctx, s, &o)
	if err == nil {
		o.Result = result
		return o
	}
	o.Error = &failure{Message: err.Error()}
	for is, code := range codes {
		if errors.Is(err, is) {
			o.Error.Code = code
		}
	}
	return o
}

func (u *user) do(ctx context.Context, s step, o *outcome) (any, error) {
	switch s.Do {
	case "wait":
		return struct{}{}, u.until(s.Method+" "+s.Text, func() (bool, error) { return u.was(s.Method, s.Text), nil })
	case "listen":
		filter := mcp.SubscriptionFilter{ToolsListChanged: s.Tools, ResourceSubscriptions: s.URIs}
		if _, err := u.client.ListenAsync(ctx, filter, nil); err != nil {
			return nil, err
		}
		const acknowledged = "notifications/subscriptions/acknowledged"
		return struct{}{}, u.until(acknowledged, func() (bool, error) { return u.was(acknowledged, ""), nil })
	case "tools/list":
		var list *mcp.ListToolsResult
		err := u.until(s.Until, func() (done bool, err error) {
			list, err = u.client.ListTools(ctx, mcp.ListToolsRequest{})
			return err == nil && holds(list, s.Until), err
		})
		return list, err
	case "tools/call":
		return u.call(ctx, s, o)
	case "prompts/get":
		var r mcp.GetPromptRequest
		r.Params.Name = s.Name
		if err := json.Unmarshal(s.Arguments, &r.Params.Arguments); err != nil {
			return nil, err
		}
		return u.client.GetPrompt(ctx, r)
	case "resources/read":
		var r mcp.ReadResourceRequest
		r.Params.URI = s.URI
		return u.client.ReadResource(ctx, r)
	case "resources/subscribe":
		var r mcp.SubscribeRequest
		r.Params.URI = s.URI
		return struct{}{}, u.client.Subscribe(ctx, r)
	case "logging/setLevel":
		var r mcp.SetLevelRequest
		r.Params.Level = mcp.LoggingLevel(s.Level)
		return struct{}{}, u.client.SetLevel(ctx, r)
	}
	return nil, fmt.Errorf("unknown step %s", s.Do)
}

// call calls a tool, until the answer is as wanted.
func (u *user) call(ctx context.Context, s step, o *outcome) (result *mcp.CallToolResult, err error) {
	err = u.until(s.Until, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 3*patience)
		defer cancel()
		token := u.expect(s.Cancel, cancel)
		result, err = u.client.CallTool(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{
			Name: s.Name, Arguments: s.Arguments, Meta: &mcp.Meta{ProgressToken: token, AdditionalFields: s.Meta},
		}})
		o.Progress = u.got(token)
		return err == nil && holds(result, s.Until), err
	})
	return result, err
}

func holds(result any, text string) bool {
	encoded, err := json.Marshal(result)
	return err == nil && strings.Contains(string(encoded), text)
}

// until asks until the condition holds, after each notification and twice a second.
func (u *user) until(what string, condition func() (bool, error)) error {
	deadline := time.After(patience)
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-u.heard:
		case <-time.After(500 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("no %s within %v", what, patience)
		}
	}
}

// user is the client with what it was told and asked.
type user struct {
	client  *client.Client
	answers map[string]answer
	heard   chan struct{} // after a notification

	mu            sync.Mutex
	tokens        int
	progress      map[string][]progress
	cancel        map[string]context.CancelFunc // at the first progress
	notifications []message
	requests      []message
}

type message struct {
	Method string `json:"method"`
	Params any    `json:"params"`
}

// expect returns a progress token. With giveUp the call ends at the first progress.
func (u *user) expect(giveUp bool, cancel context.CancelFunc) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens++
	token := fmt.Sprint("call-", u.tokens)
	if giveUp {
		u.cancel = map[string]context.CancelFunc{token: cancel}
	}
	return token
}

func (u *user) got(token string) []progress {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.progress[token]
}

func (u *user) was(method, text string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.notifications {
		if n.Method == method && holds(n.Params, text) {
			return true
		}
	}
	return false
}

func (u *user) notified(n mcp.JSONRPCNotification) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fields := n.Params.AdditionalFields
	if token, _ := fields["progressToken"].(string); n.Method == "notifications/progress" {
		u.progress[token] = append(u.progress[token], progress{fields["progress"], fields["total"]})
		if cancel := u.cancel[token]; cancel != nil {
			cancel()
		}
	} else {
		u.notifications = append(u.notifications, message{n.Method, n.Params})
	}
	select {
	case u.heard <- struct{}{}:
	default:
	}
}
