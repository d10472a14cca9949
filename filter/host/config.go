// Package host has what the hosts of the filter share, each of which carries its
// decisions out in an Envoy: the configuration with the broker's secret, and what
// is to be said of a panic. It calls no Envoy and opens no socket.
package host

import (
	"mcp-gateway/filter"
	"mcp-gateway/internal/gatewayconfig"
)

// Config is one filter configuration in Envoy.
type Config struct {
	*filter.Gateway
	// Metadata has every decision's notes set, not only those of errors.
	Metadata bool
	// Authorization goes with questions to the broker; empty for none. A secret.
	Authorization string
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
	c := &Config{Gateway: g, Metadata: f.Metadata}
	if secret != "" {
		c.Authorization = "Bearer " + secret
		g.Prove([]byte(c.Authorization))
	}
	return c, nil
}
