package main

import (
	"fmt"
	"os"
	"strings"

	"mcp-gateway/internal/gatewayconfig"
)

// secretFileEnv names the variable with the path of a file that holds the secret
// of the internal API, for where a variable would show it: the description of a
// container, say.
const secretFileEnv = gatewayconfig.SecretEnv + "_FILE"

// secret is that of the internal API; empty if none is set. A line break at the
// file's end is not part of it.
func secret(env func(string) string) (string, error) {
	value, path := env(gatewayconfig.SecretEnv), env(secretFileEnv)
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("$%s and $%s are both set: which one counts?", gatewayconfig.SecretEnv, secretFileEnv)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("$%s: %w", secretFileEnv, err)
	}
	value = strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", fmt.Errorf("$%s: %s is empty", secretFileEnv, path)
	}
	return value, nil
}
