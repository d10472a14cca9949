#!/bin/sh
# What the Envoy container runs: an Envoy that gets its configuration from the
# control plane, with the secret of the internal API where the filter reads it.
# Arguments go to Envoy.
#
#   MCP_GATEWAY_XDS                   the control plane, host:port
#   MCP_GATEWAY_FILTER_HOST           golang for Envoy's contrib build; module if empty
#   MCP_GATEWAY_INTERNAL_SECRET       the secret, or
#   MCP_GATEWAY_INTERNAL_SECRET_FILE  a file with it
set -eu

if [ -n "${MCP_GATEWAY_INTERNAL_SECRET_FILE:-}" ]; then
  MCP_GATEWAY_INTERNAL_SECRET=$(cat "$MCP_GATEWAY_INTERNAL_SECRET_FILE")
  export MCP_GATEWAY_INTERNAL_SECRET
fi
if [ -z "${MCP_GATEWAY_INTERNAL_SECRET:-}" ]; then
  echo "start-envoy: no secret of the internal API: set MCP_GATEWAY_INTERNAL_SECRET or MCP_GATEWAY_INTERNAL_SECRET_FILE" >&2
  exit 1
fi
mcp-gateway bootstrap --xds "${MCP_GATEWAY_XDS:?the control plane, host:port}" \
  --filter-host "${MCP_GATEWAY_FILTER_HOST:-module}" --admin 127.0.0.1:9901 >"${TMPDIR:-/tmp}/envoy.yaml"
exec envoy -c "${TMPDIR:-/tmp}/envoy.yaml" "$@"
