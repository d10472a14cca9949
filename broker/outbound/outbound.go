// Package outbound makes the broker's HTTP requests: straight to their peer, to
// nobody else, and with errors that can be logged.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// NewTransport returns a transport for the connections to one peer. Like Envoy on
// the way of the calls it uses no proxy, and it asks for no compression: a
// compressing peer could hold events back. Connect bounds the TCP handshake; one of
// roots has to have signed the peer's certificate, nil means the system's.
func NewTransport(connect time.Duration, roots *x509.CertPool) *http.Transport {
	dialer := newDialer(connect)
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: roots},
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Client makes requests. It follows no redirect: a peer that redirects must be
// configured with its final URL, as its secrets are for nobody else.
type Client struct{ http http.Client }

// NewTrusting is NewTransport for a server with authorities of its own in caCert
// (PEM), which are in the place of roots; empty means that there are none.
func NewTrusting(connect time.Duration, roots *x509.CertPool, caCert string) (*http.Transport, error) {
	if caCert != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(caCert)) {
			return nil, errors.New("its certificate authorities are no certificates in PEM")
		}
	}
	return NewTransport(connect, roots), nil
}

// NewClient returns a client whose requests take the transport.
func NewClient(transport http.RoundTripper) *Client {
	return &Client{http.Client{
		Transport:     discreet{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do is that of http.Client, with the errors of Cause. Of a Location the answer
// has scheme and host only.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, Cause(err)
	}
	return resp, nil
}

// HTTP returns the same client for who knows none but those of net/http. Its errors
// are those of Cause still to be made.
func (c *Client) HTTP() *http.Client { return &c.http }

// CloseIdleConnections closes what the transport keeps open for later.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Cause returns what an error of package http says besides the URL, which it
// quotes and whose path and query can hold keys.
func Cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// discreet is a transport that keeps of a Location no more than scheme and host,
// since the rest can hold keys and is logged: a malformed one by http.Client.
type discreet struct{ http.RoundTripper }

func (d discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return resp, nil
	}
	resp.Header.Del("Location")
	if to, err := r.URL.Parse(location); err == nil && to.Host != "" {
		resp.Header.Set("Location", to.Scheme+"://"+to.Host)
	}
	return resp, nil
}

// CloseIdleConnections is what http.Client looks for.
func (d discreet) CloseIdleConnections() {
	(&http.Client{Transport: d.RoundTripper}).CloseIdleConnections()
}
