package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

const (
	// probePatience bounds the wait for the first answer of the endpoint,
	// probeTimeout one attempt, probePause the time between two.
	probePatience = 30 * time.Second
	probeTimeout  = 10 * time.Second
	probePause    = 50 * time.Millisecond
	probeLimit    = 1 << 20 // bytes of an answer that are read
)

// endpoint is where clients reach the gateway.
type endpoint struct {
	dial netip.AddrPort // for this process
	host string         // for the Host header and for people
	path string
	// guarded: nobody is let in without a credential, which this process has none of.
	guarded bool
	// policed: a filter of the operator's may refuse this process.
	policed bool
	// internal is the socket of the broker's internal API.
	internal string
}

// endpointOf tells the endpoint of g. The host is one that the filter admits.
func endpointOf(g *gateway.Gateway) (endpoint, error) {
	at, err := gateway.SplitListen(g.Listen)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{dial: at, path: g.Path, guarded: g.Auth != nil, policed: len(g.EnvoyFilters) > 0}
	if at.Addr().IsUnspecified() {
		local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if at.Addr().Is6() {
			local = netip.IPv6Loopback()
		}
		e.dial = netip.AddrPortFrom(local, at.Port())
	}
	e.host = e.dial.Addr().String()
	switch {
	case len(g.Hostnames) == 0 || slices.Contains(g.Hostnames, e.host):
	case slices.Contains(g.Hostnames, "localhost") && e.dial.Addr().IsLoopback():
		e.host = "localhost"
	default:
		e.host = g.Hostnames[0]
	}
	return e, nil
}

func (e endpoint) url() string {
	return "http://" + net.JoinHostPort(e.host, strconv.Itoa(int(e.dial.Port()))) + e.path
}

// await asks the endpoint until it answers as a gateway does: a client's
// initialize through Envoy, the filter and the broker, ended by a DELETE. Where that
// needs a credential, or a filter of the operator's forbids it, the refusal is enough,
// once the broker answers, too.
func (e endpoint) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probePatience, errPatience)
	defer cancel()
	client := &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", e.dial.String())
			},
		},
	}
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	for {
		err := e.ask(ctx, client)
		if (e.guarded || e.policed) && errors.Is(err, errRefused) {
			err = e.askBroker(ctx)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errPatience) {
				return fmt.Errorf("endpoint %s does not answer after %v: %w", e.url(), probePatience, err)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

var errPatience = errors.New("out of patience")

// errRefused is the answer to who brings no credential, or may not do this.
var errRefused = errors.New("the request is refused")

// askBroker asks the broker what the filter asks it first.
func (e endpoint) askBroker(ctx context.Context) error {
	client := &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", e.internal)
			},
		},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://broker"+gatewayconfig.PathTable, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the broker is not ready: HTTP status %s", answer.Status)
	}
	return nil
}

// ask opens a session and ends it.
func (e endpoint) ask(ctx context.Context, client *http.Client) error {
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": "ready", "method": mcp.MethodInitialize,
		"params": map[string]any{
			"protocolVersion": mcp.LatestLegacy,
			"capabilities":    map[string]any{},
			"clientInfo":      map[string]any{"name": "mcp-gateway", "version": "probe"},
		},
	})
	if err != nil {
		return err
	}
	answer, header, err := e.send(ctx, client, http.MethodPost, "", body)
	if err != nil {
		return err
	}
	var message struct {
		Result *struct {
			ProtocolVersion mcp.Revision `json:"protocolVersion"`
		} `json:"result"`
	}
	id := header.Get(mcp.HeaderSession)
	if err := json.Unmarshal(answer, &message); err != nil || message.Result == nil || id == "" {
		return errors.New("what answers there is not this gateway")
	}
	// The session would end by itself, so a failure does no harm.
	_, _, _ = e.send(ctx, client, http.MethodDelete, id, nil)
	return nil
}

func (e endpoint) send(ctx context.Context, client *http.Client, method, session string, body []byte) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, e.url(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set(mcp.HeaderSession, session)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(answer.Body, probeLimit))
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode == http.StatusUnauthorized && answer.Header.Get("WWW-Authenticate") != "" {
		return nil, nil, errRefused
	}
	if answer.StatusCode >= 400 && e.policed && refusal(content) {
		return nil, nil, errRefused
	}
	if answer.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("HTTP status %s", answer.Status)
	}
	return content, answer.Header, nil
}

// refusal reports whether an answer is the gateway's error to this very request.
func refusal(answer []byte) bool {
	var message struct {
		ID    string          `json:"id"`
		Error json.RawMessage `json:"error"`
	}
	return json.Unmarshal(answer, &message) == nil && message.ID == "ready" && len(message.Error) > 0
}
