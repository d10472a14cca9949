package gatewayconfig

// Era is a family of protocol revisions that a server speaks.
type Era string

// The eras. A server that speaks both is spoken to as its caller is.
const (
	EraAuto   Era = "auto"   // whatever the server turns out to speak
	EraLegacy Era = "legacy" // revisions up to 2025-11-25, with initialize
	EraModern Era = "modern" // revisions from 2026-07-28 on, stateless
)
