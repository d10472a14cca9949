package dynamicmodule

import (
	"mcp-gateway/filter"
	"mcp-gateway/internal/gatewayconfig"
)

// Config is one filter configuration in Envoy.
type Config struct {
	*filter.Gateway
	metadata      bool
	authorization string
}

// NewConfig reads a filter configuration, the JSON of gatewayconfig.Filter.
// secret guards the broker; empty for none.
func NewConfig(text []byte, secret string) (*Config, error) {
	var f gatewayconfig.Filter
	if err := gatewayconfig.Decode(text, &f); err != nil {
		return nil, err
	}
	g, err := filter.New(f)
	if err != nil {
		return nil, err
	}
	c := &Config{Gateway: g, metadata: f.Metadata}
	if secret != "" {
		c.authorization = "Bearer " + secret
		g.Prove([]byte(c.authorization))
	}
	return c, nil
}
