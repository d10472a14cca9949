package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
)

// sendsOf returns what Envoy sends to a server, nil for nothing of its own. A
// server behind a bridge is sent that by the bridge.
func sendsOf(cfg gatewayconfig.Server) *gatewayconfig.Sends {
	if cfg.Bridge != nil {
		return nil
	}
	s := gatewayconfig.Sends{Forward: cfg.ForwardHeaders}
	if len(cfg.Headers) > 0 {
		s.Headers = make(map[string]string, len(cfg.Headers))
		for name, value := range cfg.Headers {
			s.Headers[strings.ToLower(name)] = value
		}
	}
	switch {
	case cfg.Exchange != nil:
		s.Token, s.Tokens = gatewayconfig.TokenCaller, digestOf(cfg.Exchange)
	case cfg.OAuth != nil:
		s.Token, s.Tokens = gatewayconfig.TokenGateway, digestOf(cfg.OAuth)
	}
	if s.Empty() {
		return nil
	}
	return &s
}

// digestOf tells what tokens are got by from what others are; not the secret.
func digestOf(o *gatewayconfig.OAuth) string {
	public := *o
	public.ClientSecret = ""
	text, err := json.Marshal(public)
	if err != nil {
		panic("broker: strings cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// endpointConnect bounds the connecting to a token endpoint.
const endpointConnect = 5 * time.Second

// sourceOf returns the tokens for a server, nil for none.
func (b *Broker) sourceOf(cfg gatewayconfig.Server) *credential.Source {
	if cfg.OAuth == nil && cfg.Exchange == nil {
		return nil
	}
	transport := b.opts.Transport
	if transport == nil {
		transport = outbound.NewTransport(endpointConnect, b.opts.Roots)
	}
	return credential.New(cfg, credential.Options{Transport: transport, Log: b.log, Asked: func(err error) {
		result := metrics.TokenIssued
		if err != nil {
			result = metrics.TokenFailed
		}
		b.metrics.TokenAsked(cfg.Name, result)
	}})
}

// wants is what of callers any server is sent.
type wants struct {
	token   bool
	headers []string // in lower case, sorted
}

func wantsOf(servers []gatewayconfig.Server) wants {
	var w wants
	for _, s := range servers {
		w.token = w.token || s.Exchange != nil
		w.headers = append(w.headers, s.ForwardHeaders...)
	}
	slices.Sort(w.headers)
	w.headers = slices.Compact(w.headers)
	return w
}

// represent has what is sent to servers for the client's request be sent in its
// name. Its token counts only if it has been verified.
func (c *call) represent() {
	w := c.view.wants
	if !w.token && len(w.headers) == 0 {
		return
	}
	by := &credential.Caller{Header: http.Header{}}
	if w.token && c.who != nil && c.who.Claims != nil {
		scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") {
			by.Token = strings.TrimSpace(token)
		}
	}
	for _, name := range w.headers {
		if values := c.r.Header.Values(name); len(values) > 0 && gatewayconfig.MayForward(name) {
			by.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	c.r = c.r.WithContext(credential.With(c.r.Context(), by))
}

// forwarded returns the headers of a caller that a server gets, as text that tells
// them from others; empty for none.
func (v *view) forwarded(server string, by *credential.Caller) string {
	if by == nil || len(by.Header) == 0 {
		return ""
	}
	for _, s := range v.config.Servers {
		if s.Name != server || len(s.ForwardHeaders) == 0 {
			continue
		}
		own := http.Header{}
		for _, name := range s.ForwardHeaders {
			if values := by.Header.Values(name); len(values) > 0 {
				own[http.CanonicalHeaderKey(name)] = values
			}
		}
		if len(own) == 0 {
			return ""
		}
		// By sorted names, and each value quoted so that every byte counts.
		sum := sha256.Sum256(fmt.Appendf(nil, "%q", own))
		return hex.EncodeToString(sum[:])
	}
	return ""
}
