package jsonrpc

import "golang.org/x/sys/cpu"

// wide tells that this processor has the instructions of markBlocks.
var wide = cpu.X86.HasAVX2

// markBlocks marks n blocks from src on, at least one.
//
//go:noescape
func markBlocks(dst *block, src *byte, n int)
