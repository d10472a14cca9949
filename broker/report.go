package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
)

// mostReported bounds what is reported of a text that a server chose, in bytes.
const mostReported = 256

// Report returns what the control plane is told.
func (b *Broker) Report() gatewayconfig.Report {
	s := b.Status()
	r := gatewayconfig.Report{
		Config: b.view.Load().config.Digest, Ready: s.Ready,
		Servers: make([]gatewayconfig.ServerReport, 0, len(s.Servers)), Endpoints: []gatewayconfig.EndpointReport{},
	}
	for i := range s.Servers {
		r.Servers = append(r.Servers, serverReport(&s.Servers[i]))
	}
	for _, e := range s.Endpoints {
		r.Endpoints = append(r.Endpoints, gatewayconfig.EndpointReport{Path: e.Path, Tools: e.Tools, Prompts: e.Prompts, Resources: e.Resources})
	}
	return r
}

func serverReport(s *ServerStatus) gatewayconfig.ServerReport {
	out := gatewayconfig.ServerReport{
		Name: s.Name, Failure: s.Failure, Error: short(s.Error), Revision: string(s.Revision),
		Tools: s.Tools, Prompts: s.Prompts, Resources: s.Resources,
	}
	switch {
	case s.Integrity != nil && s.Integrity.Blocked:
		out.State = gatewayconfig.ServerBlocked
	case s.State == upstream.Ready:
		out.State = gatewayconfig.ServerReady
	case s.State == upstream.Failed:
		out.State = gatewayconfig.ServerFailed
	default:
		out.State = gatewayconfig.ServerConnecting
	}
	var info struct{ Name, Version string }
	if json.Unmarshal(s.Info, &info) == nil {
		out.ServerName, out.ServerVersion = short(info.Name), short(info.Version)
	}
	return out
}

// short cuts a text, and leaves it valid.
func short(text string) string {
	if len(text) <= mostReported {
		return text
	}
	return strings.ToValidUTF8(text[:mostReported], "") + "…"
}

// report answers gatewayconfig.Report, or 304 to who has it.
func (b *Broker) report(w http.ResponseWriter, r *http.Request) {
	report := b.Report()
	body, err := json.Marshal(report)
	if err != nil {
		http.Error(w, "the report cannot be encoded", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if hasTag(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
