//go:build !amd64

package jsonrpc

// wide is for processors that markBlocks has been written for.
const wide = false

func markBlocks(*block, *byte, int) { panic("not wide") }
