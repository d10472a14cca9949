package gatewayconfig

// MostItems is how many items of one list the broker reads at most; a server that
// lists more fails.
const MostItems = 100_000

// Limits bound what clients and servers can make a broker hold. Sizes are bytes.
type Limits struct {
	// Body is the largest request body, Event the largest message of a server on an
	// event stream; Depth is how deep a request's JSON may be nested.
	Body  int64 `json:"body"`
	Event int64 `json:"event"`
	Depth int   `json:"depth"`
	// Sessions bounds the client sessions of all replicas, the others those of one
	// credential and, of clients without, of one address; 0 means no bound.
	Sessions             int `json:"sessions"`
	SessionsPerPrincipal int `json:"sessionsPerPrincipal"`
	SessionsPerAddress   int `json:"sessionsPerAddress"`
	// Streams bound in the same way the event streams that are open in one broker.
	Streams             int `json:"streams"`
	StreamsPerPrincipal int `json:"streamsPerPrincipal"`
	StreamsPerAddress   int `json:"streamsPerAddress"`
	// SSEClients is how many HTTP+SSE clients there may be at one broker.
	SSEClients int `json:"sseClients"`
	// ItemsPerServer is how many tools of a server are offered, and as many prompts,
	// resources and templates; the rest is left out.
	ItemsPerServer int `json:"itemsPerServer"`
	// PooledSessions bounds the sessions that clients without sessions share.
	PooledSessions          int `json:"pooledSessions"`
	PooledSessionsPerServer int `json:"pooledSessionsPerServer"`
	// Calls bounds the calls of stateless clients that the broker carries to servers
	// with sessions, WaitingCalls those of them that wait for input.
	Calls        int `json:"calls"`
	WaitingCalls int `json:"waitingCalls"`
	// BridgedSessions bounds the sessions at a server that the broker serves to
	// Envoy, unless each is a process, see Bridge.MaxProcesses.
	BridgedSessions int `json:"bridgedSessions"`
	// Openings is how many sessions are opened at one server at one time, by one
	// broker, WaitingOpenings how many wait for that.
	Openings        int `json:"openings"`
	WaitingOpenings int `json:"waitingOpenings"`
}

// DefaultLimits hold where nothing is declared.
func DefaultLimits() Limits {
	return Limits{
		Body:                    4 << 20,
		Event:                   16 << 20,
		Depth:                   128,
		Sessions:                100_000,
		SessionsPerPrincipal:    1000,
		SessionsPerAddress:      10_000,
		Streams:                 20_000,
		StreamsPerPrincipal:     1000,
		StreamsPerAddress:       10_000,
		SSEClients:              1024,
		ItemsPerServer:          10_000,
		PooledSessions:          2000,
		PooledSessionsPerServer: 200,
		Calls:                   4096,
		WaitingCalls:            1000,
		BridgedSessions:         4096,
		Openings:                32,
		WaitingOpenings:         4096,
	}
}

// Complete returns l with the default where 0 would be no limit at all that means
// something: all but those of sessions and streams.
func (l Limits) Complete() Limits {
	d := DefaultLimits()
	for _, of := range []struct{ value, or *int }{
		{&l.Depth, &d.Depth}, {&l.SSEClients, &d.SSEClients}, {&l.ItemsPerServer, &d.ItemsPerServer},
		{&l.PooledSessions, &d.PooledSessions}, {&l.PooledSessionsPerServer, &d.PooledSessionsPerServer},
		{&l.Calls, &d.Calls}, {&l.WaitingCalls, &d.WaitingCalls}, {&l.BridgedSessions, &d.BridgedSessions},
		{&l.Openings, &d.Openings}, {&l.WaitingOpenings, &d.WaitingOpenings},
	} {
		if *of.value <= 0 {
			*of.value = *of.or
		}
	}
	if l.Body <= 0 {
		l.Body = d.Body
	}
	if l.Event <= 0 {
		l.Event = d.Event
	}
	return l
}

// Share is how much of a limit one principal takes up at most, so that none locks
// out the others: a quarter, or four where that is less.
func Share(limit int) int { return min(limit, max(limit/4, 4)) }
