#!/usr/bin/env bash
# Proves docker-compose.yaml with a real Docker daemon: builds the images,
# starts everything, is a client with curl, looks at every container, replaces
# the broker under an open session, adds the profile golang, and removes all of
# it again.
#
# It uses the machine's Docker if that has, or can pull, the base images;
# otherwise a daemon of its own (daemon.sh) with stand-ins (local-images.sh).
#
#   test/compose/prove.sh            status 0: proved, 1: not, 77: no daemon here
#   test/compose/prove.sh -k         leaves all running, until Ctrl-C
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly here=$root/test/compose
cd "$root"

readonly project=mcp-gateway-proof
keep=
[[ ${1:-} != -k ]] || keep=yes

run=$(mktemp -d "${TMPDIR:-/tmp}/compose.XXXXXX")
readonly run
daemon=
child=

say() { printf '%s\n' "==> $*"; }

# With the profile, so that its services are stopped and removed as the others are.
compose() { docker compose --project-name "$project" --env-file /dev/null --profile golang "$@"; }

# bounded SECONDS COMMAND... leaves this shell able to hear a signal meanwhile.
# timeout passes it on to all that COMMAND started.
bounded() {
  timeout --kill-after=10 "$@" </dev/null &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

cleanup() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
  if [[ -n ${DOCKER_HOST:-}${own_docker:-} ]]; then
    timeout 120 docker compose --project-name "$project" --env-file /dev/null --profile golang down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
  fi
  if [[ -n $daemon ]]; then
    # What this run replaced would pile up.
    timeout 60 docker image prune --force >/dev/null 2>&1 || true
    timeout 60 docker builder prune --force --keep-storage 2gb >/dev/null 2>&1 || true
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$run"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# base_images are those that Dockerfile and docker-compose.yaml name.
base_images() {
  sed -n 's/^ARG [A-Z]*_IMAGE=//p' Dockerfile envoy/compose/golang.Dockerfile | sort -u
  sed -n 's/^ *image: *\([^ ]*\)$/\1/p' docker-compose.yaml | grep -v ^mcp-gateway/
}

# usable reports whether the machine's own Docker can do it.
usable() {
  timeout 20 docker version >/dev/null 2>&1 || return 1
  timeout 20 docker compose version >/dev/null 2>&1 || return 1
  local image
  for image in $(base_images); do
    docker image inspect "$image" >/dev/null 2>&1 || bounded 600 docker pull --quiet "$image" >/dev/null 2>&1 || {
      say "the Docker of this machine neither has nor reaches $image"
      return 1
    }
  done
}

# own_daemon starts one and fills it with stand-ins.
own_daemon() {
  bounded 1500 "$here/daemon.sh" install
  setpriv --pdeathsig TERM "$here/daemon.sh" serve "$run" &
  daemon=$!
  local i
  for ((i = 0; i < 300; i++)); do
    [[ ! -f $run/env ]] || break
    if ! kill -0 "$daemon" 2>/dev/null; then
      wait "$daemon" && status=0 || status=$?
      daemon=
      exit "$status"
    fi
    sleep 0.25
  done
  # shellcheck source=/dev/null # written by daemon.sh
  source "$run/env"
  # What was left there starts with the daemon, and has its ports.
  docker ps --all --quiet | xargs --no-run-if-empty timeout 120 docker rm --force --volumes >/dev/null
  # shellcheck disable=SC2046 # one name a word
  bounded 1500 "$here/local-images.sh" $(base_images)
  docker run --rm --network none --read-only redis:7 redis-server --version >"$run/first.log" 2>&1 || {
    cat "$run/first.log" >&2
    echo "no Docker daemon: it runs, but no container does" >&2
    exit 77
  }
}

passed=0 failed=0

# check NAME COMMAND... counts one check; what COMMAND prints tells why it failed.
check() {
  local name=$1 why
  shift
  if why=$("$@" 2>&1); then
    passed=$((passed + 1))
    printf 'ok      %s\n' "$name"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n' "$name"
    [[ -z $why ]] || printf '%s\n' "$why" | head -n 20 | sed 's/^/        /'
  fi
}

# shellcheck source=test/compose/checks.sh
source "$here/checks.sh"

say "looking for a Docker daemon"
if usable; then
  own_docker=yes
  in_net() { "$@"; }
  free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
  MCP_GATEWAY_PORT=$(free_port) MCP_GATEWAY_GOLANG_PORT=$(free_port)
else
  own_daemon
  MCP_GATEWAY_PORT=8888 MCP_GATEWAY_GOLANG_PORT=8889
fi
mkdir "$run/gateway"
cp envoy/compose/gateway.yaml "$run/gateway/"
chmod 0755 "$run/gateway"
chmod 0644 "$run/gateway/gateway.yaml"
MCP_GATEWAY_CONFIG=$run/gateway
export MCP_GATEWAY_PORT MCP_GATEWAY_GOLANG_PORT MCP_GATEWAY_CONFIG
# A developer's own must not be what is looked at here.
unset MCP_GATEWAY_INTERNAL_SECRET
say "$(docker version --format 'Docker {{.Server.Version}}'), $(docker compose version)"

say "building the images"
bounded 1200 docker compose --project-name "$project" --env-file /dev/null --profile golang build --quiet || {
  echo "FAILED  docker compose build"
  exit 1
}

say "starting"
# What a run left that was killed.
bounded 120 docker compose --project-name "$project" --env-file /dev/null --profile golang down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
begin=$SECONDS
bounded 400 docker compose --project-name "$project" --env-file /dev/null up --detach --wait --wait-timeout 300 >"$run/up.log" 2>&1 || {
  tail -n 20 "$run/up.log"
  compose ps --all
  compose logs --tail 20
  echo "FAILED  docker compose up --wait"
  exit 1
}
say "up in $((SECONDS - begin)) s"

all_checks
golang_checks
lasting+=" envoy-golang controlplane-golang"

if [[ -n $keep ]]; then
  say "running; Ctrl-C ends it. source $run/env to look at it"
  sleep infinity &
  wait $!
fi

check "everything ends in order" ends_in_order
check "down --volumes leaves nothing" leaves_nothing
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
