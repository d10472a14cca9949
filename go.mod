module mcp-gateway

go 1.26.0
