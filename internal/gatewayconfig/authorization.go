package gatewayconfig

// Authorization says who may use what of the gateway, in rules. Where it is nil
// everybody may use everything. A rule applies to an item if its servers, its
// patterns and When all say so. What a deny rule applies to is denied; else what an
// allow rule applies to is allowed, to who has the scopes of all of those; else
// Default holds.
type Authorization struct {
	Default Effect       `json:"default"`
	Rules   []AccessRule `json:"rules,omitempty"`
}

// Effect is what a rule does.
type Effect string

// The effects.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// AccessRule is one rule of an Authorization.
type AccessRule struct {
	// Name stands in access logs and metadata.
	Name   string `json:"name"`
	Effect Effect `json:"effect"`
	// Servers are names; none means all.
	Servers []string `json:"servers,omitempty"`
	// Tools and Prompts are patterns of exposed names, Resources of URIs as clients
	// know them. If there is none of the three, the rule is about all items; else
	// only about those that match.
	Tools     []string `json:"tools,omitempty"`
	Prompts   []string `json:"prompts,omitempty"`
	Resources []string `json:"resources,omitempty"`
	// When is a CEL expression, see package policy; empty means always.
	When string `json:"when,omitempty"`
	// Scopes are needed besides, of an allow rule. Who lacks one is told so, and
	// sees the item in lists.
	Scopes []string `json:"scopes,omitempty"`
}

// Hints are the annotations of a tool that concern what it does (2025-11-25,
// server/tools, Tool Annotations), each where it differs from the specification's
// default: 0 is a tool that says nothing of itself.
type Hints uint8

// The differences. readOnlyHint and idempotentHint are false by default,
// destructiveHint and openWorldHint are true.
const (
	HintReadOnly Hints = 1 << iota
	HintNotDestructive
	HintIdempotent
	HintClosedWorld
)
