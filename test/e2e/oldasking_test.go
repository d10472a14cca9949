package e2e

import "testing"

// Clients of the first revision, which speak HTTP+SSE, get the same from servers
// that know nothing of it.
func TestServersAskOldClients(t *testing.T) {
	t.Parallel()
	o := federation(t)
	for name, run := range map[string]sdk{"TypeScript client": typescriptClient("sse"), "Python client": pythonClient("sse")} {
		for what, test := range map[string]func(*testing.T, string, sdk){
			"two servers at once": twoServersAsk,
			"roots":               rootsAreAsked,
			"client refuses":      clientRefuses,
			"completion":          completionReachesItsServer,
			"log level":           levelReachesAllServers,
			"subscription":        subscriptionsAreKept,
			"cancelled":           cancelledCallEnds,
		} {
			t.Run(name+": "+what, func(t *testing.T) {
				t.Parallel()
				test(t, o.URL+"/sse", run)
			})
		}
	}
}
