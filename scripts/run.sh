#!/usr/bin/env bash
# Runs two demo servers and the gateway in front of them until Ctrl-C, and says
# how to try them. make run builds what it needs first.
#
#   LISTEN=127.0.0.1:8888          where the gateway listens
#   CONFIG=envoy/gateway.yaml      what it serves
#   WEATHER=127.0.0.1:9001 CAL=127.0.0.1:9002   the demo servers
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
listen=${LISTEN:-127.0.0.1:8888}
config=${CONFIG:-envoy/gateway.yaml}
weather=${WEATHER:-127.0.0.1:9001}
cal=${CAL:-127.0.0.1:9002}

pids=()
# Each child gets the signal by its own id, and the gateway ends first.
# shellcheck disable=SC2329 # called by traps
stop() {
  trap '' INT TERM
  trap - EXIT
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'stop; exit 0' INT TERM

bin/mcp-demo weather --listen "$weather" &
pids+=($!)
bin/mcp-demo cal --listen "$cal" &
pids+=($!)

# The gateway does not need its servers to start; the first list of tools is
# complete if they are there.
for address in "$weather" "$cal"; do
  for ((try = 0; try < 50; try++)); do
    for pid in "${pids[@]}"; do
      kill -0 "$pid" 2>/dev/null || {
        echo "error: a demo server ended; if its port is taken, set WEATHER or CAL and the url in a CONFIG of your own" >&2
        exit 1
      }
    done
    ! bin/mcp-gateway healthcheck "http://$address/healthz" >/dev/null 2>&1 || break
    sleep 0.1
  done
done

# The gateway says on standard output when it serves; after that only its access
# log comes there, if the configuration asks for it.
exec 3< <(exec bin/mcp-gateway run --config "$config" --listen "$listen")
pids+=($!)
url=
while read -r line <&3; do
  case $line in
  "ready endpoint="*)
    url=${line#ready endpoint=}
    break
    ;;
  *) printf '%s\n' "$line" ;;
  esac
done
[[ -n $url ]] || exit 1

port=${listen##*:}
cat <<TEXT

The gateway serves $url

Try it in another shell. First a session, which every later request names:

  URL=$url
  TYPES='-H Content-Type:application/json -H Accept:application/json,text/event-stream'
  SESSION=\$(curl -s -D - -o /dev/null \$URL \$TYPES -d '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"8"}}}' | tr -d '\r' | sed -n 's/^mcp-session-id: //p')

All tools of both servers, and a call:

  curl -s \$URL \$TYPES -H "Mcp-Session-Id: \$SESSION" -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
  curl -s \$URL \$TYPES -H "Mcp-Session-Id: \$SESSION" -d '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"weather_get_weather","arguments":{"city":"Lisbon"}}}'

For the configuration of an MCP client:

  {
    "serverName": "mcp-gateway-instance",
    "url": "http://mcp.127-0-0-1.sslip.io:$port/mcp",
    "transport": "streamable-http",
    "description": "Weather and calendar tools behind one endpoint",
    "metadata": {"hostname": "mcp.127-0-0-1.sslip.io"}
  }

Change $config while it runs, and see. Ctrl-C ends everything.

TEXT

cat <&3 &

# Whichever ends first ends the rest: a demo server, or cat with the gateway.
wait -n || true
echo "one of the programs ended; ending the others" >&2
exit 1
