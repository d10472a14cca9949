package target

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"time"
)

// The issuer of the tokens of Guarded, and what they are for.
const (
	issuer   = "https://idp.example.com"
	resource = "http://127.0.0.1/mcp"
)

// issue writes the keys of an issuer to a file and returns a token of it: 2048 bit
// RSA, and what a common authorization server puts into one.
func issue(file string) (token string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "bench",
		"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		return "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": "5f0c1d52-6f1b-4b3e-9a3b-0d8f6a1c2e77", "aud": resource, "client_id": "bench",
		"scope": "openid mcp cal:read cal:write", "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"jti": "b1d3f8e2-7f8a-4f6c-8a53-6f0a3a0f9d11", "groups": []string{"staff", "engineering"},
	})
	if err != nil {
		return "", err
	}
	text := encode([]byte(`{"alg":"RS256","kid":"bench","typ":"at+jwt"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return text + "." + encode(signature), err
}
