#!/usr/bin/env bash
# Calls a tool of each demo server through a gateway: status 0 if both answer.
#
#   scripts/smoke.sh URL [ADDRESS]
#
# ADDRESS is where URL's host is, for a machine whose DNS does not know it.
set -euo pipefail

url=${1:?usage: scripts/smoke.sh URL [ADDRESS]}
host=${url#http://}
host=${host%%/*}
at=()
[[ -z ${2:-} ]] || at=(--resolve "${host%:*}:${host##*:}:$2")

# call NAME ARGUMENTS WANT: a stateless call whose answer has WANT in it.
call() {
  local name=$1 arguments=$2 want=$3 answer="" try
  local meta='"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
  # What is ready has to get about: an Envoy may be a moment behind.
  for ((try = 0; try < 20; try++)); do
    answer=$(curl --silent --show-error --max-time 10 "${at[@]}" "$url" \
      -H Content-Type:application/json -H Accept:application/json,text/event-stream \
      -H MCP-Protocol-Version:2026-07-28 -H Mcp-Method:tools/call -H "Mcp-Name:$name" \
      -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"$name\",\"arguments\":$arguments,$meta}}" 2>&1) || true
    if [[ $answer == *'"result"'* && $answer == *"$want"* ]]; then
      printf '    %s answers\n' "$name"
      return
    fi
    sleep 0.5
  done
  printf 'error: %s of %s answers: %s\n' "$name" "$url" "$answer" >&2
  return 1
}

call weather_get_weather '{"city":"Lisbon"}' Lisbon
call cal_list_events '{}' content
