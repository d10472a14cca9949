package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/principal"
)

// identify sets c.who. False for a request of nobody, where the configuration lets
// in none; the filter has refused it already, but the broker trusts only its own
// eyes. What it reads is Envoy's and the filter's to set: whoever reaches the public
// listener beside them can be anybody.
func (c *call) identify() bool {
	if !c.view.config.Auth {
		c.who = nil
		return true
	}
	who, err := principal.FromHeaders(c.r.Header.Values(mcp.HeaderClaims), c.r.Header.Values(mcp.HeaderClient))
	if err != nil {
		c.fail(http.StatusUnauthorized, mcp.CodeInvalidRequest, "authentication required")
		return false
	}
	c.who = who
	return true
}

// admits reports whether somebody is still let in who was when a stream was opened:
// whom the configuration names no more would go on to hear.
func (v *view) admits(who *principal.Principal) bool {
	switch {
	case !v.config.Auth:
		return true
	case who == nil:
		return false
	case who.Issuer == "":
		return slices.Contains(v.config.KeyClients, who.Client)
	}
	return slices.Contains(v.config.Issuers, who.Issuer)
}

// principal tells clients apart, as text that may be kept and compared: who it is
// where that has to be proved, else a digest of the credential that the request
// carries, empty for none.
func (c *call) principal() string {
	if c.who != nil {
		return c.who.ID()
	}
	return credentialOf(c.r)
}

// until is when a client has to prove again who it is, for as long as a stream is
// open; zero for never.
type until time.Time

func (c *call) until() until {
	if c.who == nil || c.who.Expires().IsZero() {
		return until{}
	}
	return until(c.who.Expires().Add(gatewayconfig.ClockSkew))
}

func (u until) over() bool { return !time.Time(u).IsZero() && time.Now().After(time.Time(u)) }

// credentialOf returns a digest of the Authorization of a request, empty for none.
func credentialOf(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(values, ",")))
	return hex.EncodeToString(sum[:])
}

// owns reports whether a session with that principal is the client's.
func (c *call) owns(of string) bool { return c.who == nil || of == c.who.ID() }

// owns reports whether a session is who's, by the ID that the filter gives; of
// anybody's where nobody has to prove who it is.
func (b *Broker) owns(who string, s session.Session) bool {
	return !b.view.Load().config.Auth || who != "" && who == s.Principal
}
