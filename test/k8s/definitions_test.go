package k8s

import (
	"regexp"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
)

// newCluster is an API server with the definitions of the Gateway API and ours.
func newCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := newBareCluster(t)
	c.InstallCRDs(harness.Root(t) + "/controlplane/api/crds/*.yaml")
	return c
}

// newBareCluster is an API server with the definitions of the Gateway API.
func newBareCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := cluster.Start(t)
	c.InstallCRDs(cluster.GatewayAPI(t))
	return c
}

// object is a manifest in one line of YAML: `MCPServer a {prefix: a_}` is the
// MCPServer a with that spec, in the namespace default.
func object(line string) string {
	kind, rest, _ := strings.Cut(line, " ")
	name, spec, _ := strings.Cut(rest, " ")
	return "{apiVersion: mcp-gateway.dev/v1alpha1, kind: " + kind + ", metadata: {name: " + name + ", namespace: default}, spec: " + spec + "}"
}

// TestDefinitions holds the definitions to what the server makes of them: it takes
// what is right, fills in what is left out, and says what is wrong with the rest.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	c := newCluster(t)

	for name, line := range map[string]string{
		"a server behind a route":       `MCPServer route {targetRef: {name: r}, prefix: a_, path: /v1/mcp}`,
		"a server at a URL":             `MCPServer url {gatewayRef: {name: g}, url: "https://a.example/mcp?k=v"}`,
		"a server with everything":      `MCPServer all {gatewayRef: {name: g, namespace: other}, targetRef: {name: r, namespace: other, sectionName: s}, state: Disabled, prefix: a_, prefixPolicy: OnConflict, tools: {allow: ["get_*"], deny: [get_x], aliases: {b: get_y}}, prompts: {deny: ["*"]}, resources: {allow: ["file:///*"]}, era: Legacy, partial: Skip, timeouts: {call: 1m30s, idle: 0s, connect: 500ms, list: 10s}, headers: [{name: X-A, value: b}, {name: X-B, secretRef: {name: s}}], forwardHeaders: [x-c], credentialRef: {name: s, namespace: other, key: k}}`,
		"a gateway with an Envoy":       `MCPGateway own {port: 8080, hostnames: [a.example], sessions: {store: Memory}, limits: {body: 1Mi, sessions: 10}}`,
		"a gateway of a Gateway":        `MCPGateway listener {targetRef: {name: g, sectionName: mcp}, allowedServers: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}, sessions: {store: Redis, redisRef: {name: r, key: url}}}`,
		"a gateway with a Redis":        `MCPGateway sealed {sessions: {store: Redis, redisRef: {name: r, key: url}, redis: {authRef: {name: a}, serverName: redis.example}}, limits: {questions: 64, openings: 1}, integrity: {scanAllow: [data-image]}}`,
		"a gateway that is guarded":     `MCPGateway guarded {auth: {resource: "https://a.example/mcp", issuers: [{issuer: "https://i.example", jwks: {url: "https://i.example/keys"}}], apiKeys: {secretRef: {name: keys}}}, authorization: {rules: [{name: all, tools: ["*"], when: "has(claims.sub)"}]}, integrity: {onChange: Block}}`,
		"a virtual server":              `MCPVirtualServer team {gatewayRef: {name: g}, servers: [{name: a}, {name: b, namespace: other}], tools: {deny: ["*_delete"]}}`,
		"a virtual server of all there": `MCPVirtualServer all {gatewayRef: {name: g}}`,
	} {
		if err := c.Try(object(line)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	for name, test := range map[string]struct{ line, want string }{
		"neither route nor URL":       {`MCPServer x {prefix: a_}`, `set either targetRef or url`},
		"route and URL":               {`MCPServer x {targetRef: {name: r}, url: "http://a.example/", gatewayRef: {name: g}}`, `set either targetRef or url`},
		"a URL of no gateway":         {`MCPServer x {url: "http://a.example/"}`, `needs a gatewayRef`},
		"a path beside a URL":         {`MCPServer x {url: "http://a.example/", gatewayRef: {name: g}, path: /b}`, `path belongs to targetRef`},
		"no URL":                      {`MCPServer x {url: "ftp://a.example/", gatewayRef: {name: g}}`, `spec\.url: Invalid value.*should match`},
		"a URL with a space":          {`MCPServer x {url: "http://a.example/ b", gatewayRef: {name: g}}`, `spec\.url: Invalid value.*should match`},
		"another kind of route":       {`MCPServer x {targetRef: {name: r, kind: TCPRoute}}`, `spec\.targetRef\.kind: Unsupported value: "TCPRoute"`},
		"a route without name":        {`MCPServer x {targetRef: {}}`, `spec\.targetRef\.name: Required value`},
		"a prefix with a space":       {`MCPServer x {targetRef: {name: r}, prefix: "a b"}`, `spec\.prefix: Invalid value.*should match`},
		"a prefix that is too long":   {`MCPServer x {targetRef: {name: r}, prefix: ` + strings.Repeat("a", 49) + `}`, `spec\.prefix: Too long`},
		"a path with a query":         {`MCPServer x {targetRef: {name: r}, path: "/a?b"}`, `spec\.path: Invalid value.*should match`},
		"an unknown state":            {`MCPServer x {targetRef: {name: r}, state: Halted}`, `spec\.state: Unsupported value: "Halted": supported values: "Enabled", "Disabled"`},
		"rules that say nothing":      {`MCPServer x {targetRef: {name: r}, tools: {}}`, `set allow, deny or aliases`},
		"a time without unit":         {`MCPServer x {targetRef: {name: r}, timeouts: {call: "10"}}`, `spec\.timeouts\.call: Invalid value.*should match`},
		"two values of a header":      {`MCPServer x {targetRef: {name: r}, headers: [{name: a, value: b, secretRef: {name: s}}]}`, `set either value or secretRef`},
		"the same header twice":       {`MCPServer x {targetRef: {name: r}, headers: [{name: a, value: b}, {name: a, value: c}]}`, `(?i)duplicate`},
		"OAuth and a credential":      {`MCPServer x {targetRef: {name: r}, credentialRef: {name: s}, oauth: {tokenUrl: "https://i.example/t", clientId: a, clientSecretRef: {name: s}}}`, `set either oauth or credentialRef`},
		"an unknown member":           {`MCPServer x {targetRef: {name: r}, prefx: a_}`, `field not declared in schema`},
		"a port of a listener":        {`MCPGateway x {targetRef: {name: g}, port: 8080}`, `port belongs to a gateway with an Envoy of its own`},
		"a Redis where there is none": {`MCPGateway x {sessions: {store: Memory, redis: {serverName: a}}}`, `redis goes with store: Redis`},
		"no questions":                {`MCPGateway x {limits: {questions: 1}}`, `spec\.limits\.questions: Invalid value.*greater than or equal to 64`},
		"a port that is none":         {`MCPGateway x {port: 65536}`, `spec\.port: Invalid value.*less than or equal to 65535`},
		"Redis without an address":    {`MCPGateway x {sessions: {store: Redis}}`, `redisRef goes with store: Redis`},
		"tokens without keys":         {`MCPGateway x {sessions: {store: Token}}`, `the store Token needs keysRef`},
		"a selector for everybody":    {`MCPGateway x {allowedServers: {namespaces: {from: All, selector: {}}}}`, `a selector goes with from: Selector`},
		"two sources of keys":         {`MCPGateway x {auth: {resource: "https://a.example/", issuers: [{issuer: "https://i.example", jwks: {url: "https://i.example/k", configMapRef: {name: c, key: k}}}]}}`, `set either url or configMapRef`},
		"a virtual server of nobody":  {`MCPVirtualServer x {}`, `spec\.gatewayRef: Required value`},
		"a virtual server of none":    {`MCPVirtualServer x {gatewayRef: {name: g}, servers: []}`, `spec\.servers: Invalid value.*at least 1`},
	} {
		switch err := c.Try(object(test.line)); {
		case err == nil:
			t.Errorf("%s: was taken", name)
		case !regexp.MustCompile(test.want).MatchString(err.Error()):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// What clients know of a server does not change under them.
func TestPrefixesStay(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Apply(object(`MCPServer with {targetRef: {name: r}, prefix: a_}`))
	c.Apply(object(`MCPServer without {targetRef: {name: r}}`))
	for line, want := range map[string]string{
		`MCPServer with {targetRef: {name: r}, prefix: b_}`:    "prefix is immutable",
		`MCPServer with {targetRef: {name: r}}`:                "prefix can be neither added nor removed",
		`MCPServer without {targetRef: {name: r}, prefix: a_}`: "prefix can be neither added nor removed",
	} {
		if err := c.Try(object(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	if err := c.Try(object(`MCPServer with {targetRef: {name: other}, prefix: a_, state: Disabled}`)); err != nil {
		t.Errorf("a change of everything else: %v", err)
	}
}
