package file

import "mcp-gateway/controlplane/gateway"

// limits reads what clients and servers may use up.
func (d *decoder) limits(l *gateway.Limits) fields {
	return fields{
		"body":                    d.size(&l.Body),
		"response":                d.size(&l.Response),
		"event":                   d.size(&l.Event),
		"depth":                   d.amount(&l.Depth),
		"headerSize":              d.size(&l.HeaderSize),
		"headers":                 d.amount(&l.Headers),
		"sessions":                d.amount(&l.Sessions),
		"sessionsPerPrincipal":    d.amount(&l.SessionsPerPrincipal),
		"sessionsPerAddress":      d.amount(&l.SessionsPerAddress),
		"streams":                 d.amount(&l.Streams),
		"streamsPerPrincipal":     d.amount(&l.StreamsPerPrincipal),
		"streamsPerAddress":       d.amount(&l.StreamsPerAddress),
		"sseClients":              d.amount(&l.SSEClients),
		"servers":                 d.amount(&l.Servers),
		"itemsPerServer":          d.amount(&l.ItemsPerServer),
		"questions":               d.amount(&l.Questions),
		"pooledSessions":          d.amount(&l.PooledSessions),
		"pooledSessionsPerServer": d.amount(&l.PooledSessionsPerServer),
		"calls":                   d.amount(&l.Calls),
		"waitingCalls":            d.amount(&l.WaitingCalls),
		"bridgedSessions":         d.amount(&l.BridgedSessions),
		"openings":                d.amount(&l.Openings),
		"waitingOpenings":         d.amount(&l.WaitingOpenings),
	}
}
