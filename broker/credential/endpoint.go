package credential

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
)

const (
	// fetches is how many requests to one token endpoint are under way at most.
	fetches = 32
	// longestToken bounds a token in bytes, which goes into a header of every call.
	longestToken = 16 << 10
)

// endpoint is a token endpoint, with what the gateway is there.
type endpoint struct {
	config gatewayconfig.OAuth
	client *outbound.Client
	places chan struct{}
	asked  func(err error)
}

func newEndpoint(config gatewayconfig.OAuth, o Options) *endpoint {
	e := &endpoint{config: config, client: outbound.NewClient(o.Transport), places: make(chan struct{}, fetches), asked: o.Asked}
	if e.asked == nil {
		e.asked = func(error) {}
	}
	return e
}

// fetch gets a token. params come in addition to, or in place of, those of client
// credentials. Its errors hold nothing that the endpoint has said but a code that
// is known, no URL and no secret.
func (e *endpoint) fetch(ctx context.Context, params url.Values) (issued, error) {
	select {
	case e.places <- struct{}{}:
		defer func() { <-e.places }()
	case <-ctx.Done():
		return issued{}, errors.New("too many tokens are being asked for")
	}
	got, err := e.ask(ctx, params)
	e.asked(err)
	return got, err
}

// ask is fetch for who has a place.
func (e *endpoint) ask(ctx context.Context, params url.Values) (issued, error) {
	all := maps.Clone(params)
	if all == nil {
		all = url.Values{}
	}
	for name, value := range map[string]string{"audience": e.config.Audience, "resource": e.config.Resource} {
		if value != "" {
			all.Set(name, value)
		}
	}
	style := oauth2.AuthStyleInHeader
	if e.config.ClientAuth == gatewayconfig.ClientAuthPost {
		style = oauth2.AuthStyleInParams
	}
	c := clientcredentials.Config{
		ClientID: e.config.ClientID, ClientSecret: e.config.ClientSecret, TokenURL: e.config.TokenURL,
		Scopes: e.config.Scopes, EndpointParams: all, AuthStyle: style,
	}
	before := time.Now()
	token, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, e.client.HTTP()))
	if err != nil {
		return issued{}, discreet(err)
	}
	if !strings.EqualFold(token.Type(), "Bearer") {
		return issued{}, errors.New("the token endpoint gives a token that is no bearer token")
	}
	if !usable(token.AccessToken) {
		return issued{}, errors.New("the token endpoint gives a token that fits into no header")
	}
	var life time.Duration
	if !token.Expiry.IsZero() {
		if life = token.Expiry.Sub(before); life < time.Second {
			return issued{}, errors.New("the token endpoint gives a token that has expired")
		}
	}
	return newIssued("Bearer "+token.AccessToken, before, life), nil
}

// usable reports whether a token is made of the characters of RFC 6750 section 2.1,
// or at least visible ones.
func usable(token string) bool {
	return len(token) <= longestToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// codes are those of RFC 6749 section 5.2, RFC 8693 section 2.2.2 and RFC 8707
// section 2; what an endpoint says else is not repeated.
var codes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"invalid_target", "access_denied", "server_error", "temporarily_unavailable",
}

// discreet returns an error without what the endpoint has said, as that could be
// the secret, or the caller's token, sent back.
func discreet(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if slices.Contains(codes, refused.ErrorCode) {
			return fmt.Errorf("the token endpoint answers %s, with HTTP status %d", refused.ErrorCode, refused.Response.StatusCode)
		}
		return fmt.Errorf("the token endpoint answers with HTTP status %d", refused.Response.StatusCode)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the token endpoint does not answer within %v", fetchTimeout)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the token endpoint cannot be reached: %w", outbound.Cause(err))
	}
	return errors.New("the answer of the token endpoint is none that can be used")
}

func errNone(why error) error { return fmt.Errorf("%w: %w", ErrNone, why) }
