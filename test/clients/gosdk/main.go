//go:build ignore

// Gosdk runs a list of steps against an MCP endpoint with the client of the Go SDK
// and prints one JSON document of what that handed to its user.
//
//	go build -modfile=tools/go.mod -o gosdk test/clients/gosdk/main.go
//	gosdk URL STEPS REVISION OPTIONS
//
// Steps, options and output are those of ../ts/client.mjs, of which it knows what
// the tests of the eras want. REVISION is the one to speak: from 2026-07-28 on it
// is stateless. The Go SDK is no dependency of the gateway, hence the build above.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const patience = 10 * time.Second

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: gosdk URL STEPS REVISION OPTIONS")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], []byte(os.Args[2]), os.Args[3], []byte(os.Args[4])); err != nil {
		fmt.Fprintln(os.Stderr, "gosdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, stepsText []byte, revision string, optionsText []byte) error {
	var steps []step
	var options struct {
		Answers map[string]struct{ Result json.RawMessage }
	}
	if err := errors.Join(json.Unmarshal(stepsText, &steps), json.Unmarshal(optionsText, &options)); err != nil {
		return err
	}
	u := &user{answers: map[string]string{}, progress: map[string][]progress{}, heard: make(chan struct{}, 1)}
	for method, a := range options.Answers {
		u.answers[method] = string(a.Result)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "test-client-gosdk", Version: "1.0.0"}, &mcp.ClientOptions{
		ElicitationHandler:   u.elicit,
		CreateMessageHandler: u.createMessage,
		// It asks to be told only of what there is a handler for.
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {},
		ResourceUpdatedHandler: func(context.Context, *mcp.ResourceUpdatedNotificationRequest) {},
	})
	var roots struct{ Roots []*mcp.Root }
	if err := json.Unmarshal([]byte(u.answers["roots/list"]), &roots); err != nil {
		return err
	}
	client.AddRoots(roots.Roots...)
	client.AddReceivingMiddleware(u.receiving)
	var err error
	u.session, err = client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	outcomes := []outcome{}
	for _, s := range steps {
		outcomes = append(outcomes, u.record(ctx, s))
	}
	initialized := u.session.InitializeResult()
	if err := u.session.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"initialize": initialized, "steps": outcomes, "notifications": u.notifications, "requests": u.requests,
	})
}

// step is one thing to do.
type step struct {
	Do, Name, URI, Level, Method, Text string
	Arguments                          json.RawMessage
	Until                              string
	Cancel                             bool
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
	Progress float64 `json:"progress"`
	Total    float64 `json:"total"`
}

type failure struct {
	Code    int64  `json:"code"`
	Message string `json:"message"`
}

func (u *user) record(ctx context.Context, s step) (o outcome) {
	result, err := u.do(ctx, s, &o)
	if err == nil {
		o.Result = result
		return o
	}
	o.Error = &failure{Message: err.Error()}
	if e := new(jsonrpc.Error); errors.As(err, &e) {
		o.Error.Code = e.Code
	}
	return o
}

func (u *user) do(ctx context.Context, s step, o *outcome) (any, error) {
	switch s.Do {
	case "wait":
		return struct{}{}, u.until(s.Method+" "+s.Text, func() (bool, error) { return u.was(s.Method, s.Text), nil })
	case "listen": // for the tools it listens since the beginning
		for _, uri := range s.URIs {
			if err := u.session.Subscribe(ctx, &mcp.SubscribeParams{URI: uri}); err != nil {
				return nil, err
			}
		}
		return struct{}{}, nil
	case "tools/list":
		var list *mcp.ListToolsResult
		err := u.until(s.Until, func() (done bool, err error) {
			list, err = u.session.ListTools(ctx, nil)
			return err == nil && holds(list, s.Until), err
		})
		return list, err
	case "tools/call":
		return u.call(ctx, s, o)
	case "prompts/get":
		p := &mcp.GetPromptParams{Name: s.Name}
		if err := json.Unmarshal(s.Arguments, &p.Arguments); err != nil {
			return nil, err
		}
		return u.session.GetPrompt(ctx, p)
	case "resources/read":
		return u.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: s.URI})
	case "resources/subscribe":
		return struct{}{}, u.session.Subscribe(ctx, &mcp.SubscribeParams{URI: s.URI})
	case "logging/setLevel":
		return struct{}{}, u.session.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: mcp.LoggingLevel(s.Level)})
	}
	return nil, fmt.Errorf("unknown step %s", s.Do)
}

// call calls a tool, until the answer is as wanted.
func (u *user) call(ctx context.Context, s step, o *outcome) (result *mcp.CallToolResult, err error) {
	err = u.until(s.Until, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 3*patience)
		defer cancel()
		p := &mcp.CallToolParams{Name: s.Name, Arguments: s.Arguments, Meta: mcp.Meta{}}
		for name, value := range s.Meta {
			p.Meta[name] = value
		}
		token := u.expect(s.Cancel, cancel)
		p.SetProgressToken(token)
		result, err = u.session.CallTool(ctx, p)
		if s.Until == "" {
			u.settle()
		}
		o.Progress = u.got(token)
		return err == nil && holds(result, s.Until), err
	})
	return result, err
}

// settle waits until no more notifications come: the SDK may hand over those that
// came before an answer after it.
func (u *user) settle() {
	for {
		select {
		case <-u.heard:
		case <-time.After(500 * time.Millisecond):
			return
		}
	}
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
	session *mcp.ClientSession
	answers map[string]string
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

// receiving keeps all that the server sends.
func (u *user) receiving(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
		u.note(method, r.GetParams())
		return next(ctx, method, r)
	}
}

func (u *user) note(method string, params mcp.Params) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch p := params.(type) {
	case *mcp.ProgressNotificationParams:
		token, _ := p.ProgressToken.(string)
		u.progress[token] = append(u.progress[token], progress{p.Progress, p.Total})
		if cancel := u.cancel[token]; cancel != nil {
			cancel()
		}
	default:
		if strings.HasPrefix(method, "notifications/") {
			u.notifications = append(u.notifications, message{method, params})
		} else {
			u.requests = append(u.requests, message{method, params})
		}
	}
	select {
	case u.heard <- struct{}{}:
	default:
	}
}

// fill decodes the answer with the text that the server asked in it.
func (u *user) fill(method, text string, into any) error {
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(strings.ReplaceAll(u.answers[method], "$TEXT", strings.Trim(string(quoted), `"`))), into)
}

func (u *user) elicit(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	var result mcp.ElicitResult
	err := u.fill("elicitation/create", r.Params.Message, &result)
	return &result, err
}

func (u *user) createMessage(_ context.Context, r *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	text := ""
	if len(r.Params.Messages) > 0 {
		if content, ok := r.Params.Messages[0].Content.(*mcp.TextContent); ok {
			text = content.Text
		}
	}
	var result mcp.CreateMessageResult
	err := u.fill("sampling/createMessage", text, &result)
	return &result, err
}
