package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

// answer is what the user says to one kind of request.
type answer struct{ Result json.RawMessage }

// handlers declare what there are answers for.
func (u *user) handlers() []client.ClientOption {
	var all []client.ClientOption
	for method, option := range map[string]client.ClientOption{
		"elicitation/create":     client.WithElicitationHandler(u),
		"sampling/createMessage": client.WithSamplingHandler(u),
		"roots/list":             client.WithRootsHandler(u),
	} {
		if _, ok := u.answers[method]; ok {
			all = append(all, option)
		}
	}
	return all
}

// fill decodes the answer with the text that the server asked in it.
func (u *user) fill(method string, params any, text string, into any) error {
	u.mu.Lock()
	u.requests = append(u.requests, message{method, params})
	u.mu.Unlock()
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	result := strings.ReplaceAll(string(u.answers[method].Result), "$TEXT", strings.Trim(string(quoted), `"`))
	return json.Unmarshal([]byte(result), into)
}

// Elicit implements client.ElicitationHandler.
func (u *user) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	var result mcp.ElicitationResult
	err := u.fill("elicitation/create", r.Params, r.Params.Message, &result.ElicitationResponse)
	return &result, err
}

// CreateMessage implements client.SamplingHandler.
func (u *user) CreateMessage(_ context.Context, r mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	text := ""
	if len(r.Messages) > 0 {
		encoded, err := json.Marshal(r.Messages[0].Content)
		if err != nil {
			return nil, err
		}
		var content struct{ Text string }
		if err := json.Unmarshal(encoded, &content); err != nil {
			return nil, err
		}
		text = content.Text
	}
	var given struct {
		Role    mcp.Role
		Model   string
		Content map[string]any
	}
	err := u.fill("sampling/createMessage", r.CreateMessageParams, text, &given)
	return &mcp.CreateMessageResult{
		Model: given.Model, SamplingMessage: mcp.SamplingMessage{Role: given.Role, Content: given.Content},
	}, err
}

// ListRoots implements client.RootsHandler.
func (u *user) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	var given struct{ Roots []mcp.Root }
	err := u.fill("roots/list", struct{}{}, "", &given)
	return &mcp.ListRootsResult{Roots: given.Roots}, err
}
