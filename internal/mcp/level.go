package mcp

import "slices"

// levels are the log levels, the most verbose last (RFC 5424 and 2025-11-25,
// server/utilities/logging).
var levels = []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}

// Verbosity returns how much a log level lets through, more for the higher; -1 for
// what is none.
func Verbosity(level string) int { return slices.Index(levels, level) }
