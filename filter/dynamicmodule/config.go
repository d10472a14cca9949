package dynamicmodule

import (
	"errors"

	"mcp-gateway/filter/host"
)

// Config is one filter configuration in Envoy.
type Config struct{ *host.Config }

// NewConfig is host.NewConfig for a host that asks the broker through Envoy.
func NewConfig(text []byte, secret string) (*Config, error) {
	c, err := host.NewConfig(text, secret)
	if err != nil {
		return nil, err
	}
	if f := c.Gateway.Config(); f.Table == nil && f.InternalCluster == "" {
		return nil, errors.New("filter configuration: internalCluster is missing")
	}
	return &Config{c}, nil
}
