package gatewayconfig

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// Admits reports whether an Authorization header carries the shared secret as
// bearer token; any does if there is none. Digests are compared, so that the
// time tells nothing about the secret.
func Admits(authorization, secret string) bool {
	if secret == "" {
		return true
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	want, got := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
