// Package configpb is the configuration of the filter as a protobuf message, for
// control planes that send one instead of a TypedStruct. What it may say is the
// business of internal/gatewayconfig, whose JSON it has.
package configpb

//go:generate go run -C ../../../tools ./protogo ../filter/golang/configpb mcp_gateway.proto
