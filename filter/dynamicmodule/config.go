package dynamicmodule

import "mcp-gateway/filter/host"

// Config is one filter configuration in Envoy.
type Config struct{ *host.Config }

// NewConfig is host.NewConfig.
func NewConfig(text []byte, secret string) (*Config, error) {
	c, err := host.NewConfig(text, secret)
	if err != nil {
		return nil, err
	}
	return &Config{c}, nil
}
