package credential_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/credential"
	"mcp-gateway/internal/gatewayconfig"
)

// issuer is a token endpoint. Its tokens are numbered.
type issuer struct {
	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
	delay    time.Duration
	// answer makes the answer to a request; nil for a token that lasts ten minutes.
	answer func(n int, form url.Values) (status int, body string)
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	i.mu.Lock()
	i.requests, i.forms = append(i.requests, r), append(i.forms, form)
	n, answer, delay := len(i.forms), i.answer, i.delay
	i.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status, text := 200, fmt.Sprintf(`{"access_token":"t%d","token_type":"bearer","expires_in":600}`, n)
	if answer != nil {
		if status, text = answer(n, form); status == 0 {
			return nil, errors.New(text)
		}
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(text)), Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Location": {"https://elsewhere.test/token"}},
	}, nil
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.forms)
}

func (i *issuer) set(answer func(int, url.Values) (int, string)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

var oauth = gatewayconfig.OAuth{
	TokenURL: "https://idp.test/token?secret-of-the-url", ClientID: "gate way", ClientSecret: "secret:of-the-client",
	Scopes: []string{"a", "b"}, Audience: "tools", Resource: "https://server.test/mcp",
}

func source(i *issuer, exchange bool, log *zap.Logger) *credential.Source {
	o := oauth
	cfg := gatewayconfig.Server{Name: "s", OAuth: &o}
	if exchange {
		cfg = gatewayconfig.Server{Name: "s", Exchange: &o}
	}
	return credential.New(cfg, credential.Options{Transport: i, Log: log})
}

func want(t *testing.T, got credential.Token, err error, authorization string) {
	t.Helper()
	if err != nil || got.Authorization != authorization {
		t.Errorf("got %q, %v, want %q", got.Authorization, err, authorization)
	}
}

// ask is Own, and For where there is a caller.
func ask(t *testing.T, s *credential.Source, caller *credential.Caller) (credential.Token, error) {
	if caller == nil {
		return s.Own(t.Context())
	}
	return s.For(t.Context(), caller)
}

func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, exchange := range []bool{false, true} {
		for _, way := range []gatewayconfig.ClientAuth{"", gatewayconfig.ClientAuthPost} {
			i, o := &issuer{}, oauth
			o.ClientAuth = way
			cfg := gatewayconfig.Server{OAuth: &o}
			form := "audience=tools&grant_type=client_credentials&resource=https%3A%2F%2Fserver.test%2Fmcp&scope=a+b"
			if exchange {
				cfg = gatewayconfig.Server{Exchange: &o}
				form = "audience=tools&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange" +
					"&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&resource=https%3A%2F%2Fserver.test%2Fmcp" +
					"&scope=a+b&subject_token=of-the-caller&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
			}
			s := credential.New(cfg, credential.Options{Transport: i, Log: zap.NewNop()})
			token, err := s.For(t.Context(), &credential.Caller{Token: "of-the-caller"})
			want(t, token, err, "Bearer t1")
			user, password, basic := i.requests[0].BasicAuth()
			if way == gatewayconfig.ClientAuthPost {
				if basic || i.forms[0].Get("client_id") != "gate way" || i.forms[0].Get("client_secret") != "secret:of-the-client" {
					t.Errorf("client as %v %v", basic, i.forms[0])
				}
				i.forms[0].Del("client_id")
				i.forms[0].Del("client_secret")
			} else if user != "gate+way" || password != "secret%3Aof-the-client" {
				t.Errorf("client as %q %q", user, password) // RFC 6749 section 2.3.1
			}
			if got := i.forms[0].Encode(); got != form || i.requests[0].URL.String() != o.TokenURL || i.requests[0].Method != http.MethodPost {
				t.Errorf("%s %s\n%s, want\n%s", i.requests[0].Method, i.requests[0].URL, got, form)
			}
		}
	}
}

// However many ask at a time, the endpoint is asked once; and again before the
// token expires, while it is still in use.
func TestTokensAreSharedAndRenewedEarly(t *testing.T) {
	t.Parallel()
	for name, caller := range map[string]*credential.Caller{"own": nil, "exchanged": {Token: "x"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{delay: time.Second}
				s := source(i, caller != nil, zap.NewNop())
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() {
						token, err := ask(t, s, caller)
						want(t, token, err, "Bearer t1")
						if token.Good != 5*time.Minute {
							t.Errorf("good for %v", token.Good)
						}
					})
				}
				all.Wait()
				time.Sleep(8 * time.Minute)
				token, err := ask(t, s, caller)
				want(t, token, err, "Bearer t1")
				if i.count() != 1 || token.Good > time.Minute || token.Good < 50*time.Second {
					t.Errorf("%d requests, good for %v", i.count(), token.Good)
				}
				time.Sleep(time.Minute) // the last minute of its life has begun
				token, err = ask(t, s, caller)
				want(t, token, err, "Bearer t1")
				if token.Good != time.Second {
					t.Errorf("good for %v while it is renewed", token.Good)
				}
				time.Sleep(2 * time.Second)
				token, err = ask(t, s, caller)
				want(t, token, err, "Bearer t2")
				time.Sleep(time.Hour)
				token, err = ask(t, s, caller)
				want(t, token, err, "Bearer t3")
				if n := i.count(); n != 3 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestLifeOfTokens(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		good   time.Duration
	}{
		"not said":      {`{"access_token":"t","token_type":"Bearer"}`, 4 * time.Minute},
		"short":         {`{"access_token":"t","token_type":"Bearer","expires_in":10}`, 8 * time.Second},
		"as text":       {`{"access_token":"t","token_type":"Bearer","expires_in":"10"}`, 8 * time.Second},
		"long":          {`{"access_token":"t","token_type":"Bearer","expires_in":999999999999}`, 5 * time.Minute},
		"over":          {`{"access_token":"t","token_type":"Bearer","expires_in":-1}`, 0},
		"other kind":    {`{"access_token":"t","token_type":"DPoP"}`, 0},
		"no token":      {`{"token_type":"Bearer"}`, 0},
		"line break":    {`{"access_token":"a\r\nx: y","token_type":"Bearer"}`, 0},
		"beyond ASCII":  {`{"access_token":"ü","token_type":"Bearer"}`, 0},
		"too long":      {`{"access_token":"` + strings.Repeat("x", 17<<10) + `","token_type":"Bearer"}`, 0},
		"endless":       {`{"access_token":"` + strings.Repeat("x", 2<<20), 0},
		"error with OK": {`{"error":"invalid_grant"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{answer: func(int, url.Values) (int, string) { return 200, test.answer }}
				token, err := source(i, false, zap.NewNop()).Own(t.Context())
				switch {
				case test.good == 0 && !errors.Is(err, credential.ErrNone):
					t.Errorf("got %v, %v", token, err)
				case test.good != 0 && (err != nil || token.Good != test.good):
					t.Errorf("good for %v, %v, want %v", token.Good, err, test.good)
				}
			})
		})
	}
}

// An endpoint that fails is asked again after growing pauses, and what it says is
// told to nobody: it may be the secret, sent back.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"refused":      {401, `{"error":"invalid_client","error_description":"secret:of-the-client"}`, "the token endpoint answers invalid_client, with HTTP status 401"},
		"unknown code": {400, `{"error":"secret:of-the-client"}`, "the token endpoint answers with HTTP status 400"},
		"page":         {503, `<html>secret:of-the-client`, "the token endpoint answers with HTTP status 503"},
		"redirect":     {307, `secret:of-the-client`, "the token endpoint answers with HTTP status 307"},
		"nonsense":     {200, `secret:of-the-client`, "the answer of the token endpoint is none that can be used"},
		"away":         {0, `connection refused`, "the token endpoint cannot be reached: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				core, logged := observer.New(zapcore.DebugLevel)
				i := &issuer{answer: func(int, url.Values) (int, string) { return test.status, test.body }}
				s := source(i, false, zap.New(core))
				for range 1000 {
					_, err := s.Own(t.Context())
					if !errors.Is(err, credential.ErrNone) || !strings.HasSuffix(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
						t.Fatalf("error %v", err)
					}
				}
				if n := i.count(); n != 1 {
					t.Errorf("%d requests at once", n)
				}
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					_, _ = s.Own(t.Context())
				}
				if n := i.count(); n < 5 || n > 12 {
					t.Errorf("%d requests in a minute", n)
				}
				i.set(nil)
				time.Sleep(time.Minute)
				token, err := s.Own(t.Context())
				want(t, token, err, fmt.Sprintf("Bearer t%d", i.count()))
				for _, e := range logged.All() {
					if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "secret") || strings.Contains(text, "idp.test") {
						t.Errorf("logged: %s", text)
					}
				}
				if n := logged.Len(); n != 1 {
					t.Errorf("%d lines are logged, want 1", n)
				}
			})
		})
	}
}

// A token that cannot be renewed is used up to its end.
func TestAwayWhileATokenIsGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		s := source(i, false, zap.NewNop())
		token, err := s.Own(t.Context())
		want(t, token, err, "Bearer t1")
		i.set(func(int, url.Values) (int, string) { return 503, "" })
		time.Sleep(9*time.Minute + 45*time.Second)
		token, err = s.Own(t.Context())
		want(t, token, err, "Bearer t1")
		time.Sleep(10 * time.Second)
		if token, err = s.Own(t.Context()); err == nil {
			t.Errorf("%v is used beyond its end", token)
		}
	})
}

func TestCallersWaitNoLongerThanTheyWant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := source(&issuer{delay: time.Hour}, false, zap.NewNop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Own(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if _, err := s.Own(t.Context()); !errors.Is(err, credential.ErrNone) || !strings.Contains(err.Error(), "within 10s") {
			t.Errorf("error %v", err)
		}
	})
}

// Who has another token is another caller.
func TestCallersAreToldApart(t *testing.T) {
	t.Parallel()
	i := &issuer{answer: func(_ int, form url.Values) (int, string) {
		if form.Get("subject_token") == "bad" {
			return 400, `{"error":"invalid_request"}`
		}
		return 200, `{"access_token":"for-` + form.Get("subject_token") + `","token_type":"Bearer","expires_in":600}`
	}}
	s := source(i, true, zap.NewNop())
	for range 3 {
		for _, name := range []string{"a", "b"} {
			token, err := s.For(t.Context(), &credential.Caller{Token: name})
			want(t, token, err, "Bearer for-"+name)
		}
		if _, err := s.For(t.Context(), &credential.Caller{Token: "bad"}); !errors.Is(err, credential.ErrNone) {
			t.Errorf("error %v", err)
		}
	}
	for _, nobody := range []*credential.Caller{nil, {}, {Token: strings.Repeat("x", 17<<10)}} {
		if _, err := s.For(t.Context(), nobody); !errors.Is(err, credential.ErrNone) {
			t.Errorf("error %v", err)
		}
	}
	if n := i.count(); n != 3 {
		t.Errorf("%d requests", n)
	}
	// What the broker asks for itself is in nobody's name.
	token, err := s.Own(t.Context())
	want(t, token, err, "")
}

// A refused token is replaced, but for one that was only just had.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, caller := range map[string]*credential.Caller{"own": nil, "exchanged": {Token: "x"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{}
				s := source(i, caller != nil, zap.NewNop())
				token, err := ask(t, s, caller)
				want(t, token, err, "Bearer t1")
				if s.Refused("Bearer t1", caller, caller == nil) {
					t.Error("a token that is refused at once is replaced")
				}
				time.Sleep(10 * time.Second)
				if !s.Refused("Bearer t1", caller, caller == nil) {
					t.Error("a token that was good before is not replaced")
				}
				token, err = ask(t, s, caller)
				want(t, token, err, "Bearer t2")
				if !s.Refused("Bearer t1", caller, caller == nil) {
					t.Error("the second to be refused does not get the new token")
				}
				token, err = ask(t, s, caller)
				want(t, token, err, "Bearer t2")
			})
		})
	}
}

func TestNoSource(t *testing.T) {
	t.Parallel()
	s := credential.New(gatewayconfig.Server{}, credential.Options{})
	token, err := s.For(t.Context(), &credential.Caller{Token: "x"})
	want(t, token, err, "")
	if s != nil || s.Of() != "" || s.Refused("Bearer x", nil, false) {
		t.Errorf("%v is a source", s)
	}
	s.Close()
}
