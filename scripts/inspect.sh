#!/usr/bin/env bash
# Runs the MCP Inspector, as test/clients pins it, on 127.0.0.1:6274 until Ctrl-C, and
# says where its page is that connects to the gateway: one of make run, of make up, or of
# make local-env-setup.
#
#   scripts/inspect.sh [URL]     http://mcp.127-0-0-1.sslip.io:8888/mcp unless told
#
#   CLIENT_PORT=6274             another port
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
url=${1:-http://mcp.127-0-0-1.sslip.io:8888/mcp}
port=${CLIENT_PORT:-6274}

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

scripts/tools.sh clients
node=$(scripts/tools.sh node)
! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is in use" "another Inspector may run; or set CLIENT_PORT"
status=$(curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$url" 2>/dev/null) || true
[[ $status != 000 && -n $status ]] ||
  printf 'warning: nothing answers at %s: start the gateway (make run), or give its URL\n' "$url" >&2

# Whoever knows the token may have the Inspector start programs; a page that does not
# name it connects to nothing by itself.
token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
page="http://127.0.0.1:$port/?transport=streamable-http&serverUrl=$url&autoConnect=$token"
cat <<TEXT

The Inspector is at

  $page

Tools, and the calls of them, are under "Tools". Ctrl-C ends it.

TEXT
export CLIENT_PORT=$port HOST=127.0.0.1 MCP_INSPECTOR_API_TOKEN=$token MCP_AUTO_OPEN_ENABLED=false
# Its list of servers is one of its own: the user's stays as it is.
mkdir -p .tools/inspector
[[ -f .tools/inspector/mcp.json ]] || echo '{"mcpServers": {}}' >.tools/inspector/mcp.json
export MCP_CATALOG_PATH=.tools/inspector/mcp.json MCP_STORAGE_DIR=.tools/inspector/storage
export MCP_INSPECTOR_SECRET_STORE=${MCP_INSPECTOR_SECRET_STORE:-memory}
exec "$node" test/clients/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js --web
