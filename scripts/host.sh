#!/usr/bin/env bash
# What the tests need in their environment to run with a host of the filter and one
# version of Envoy, for env: names with values, one a line, without spaces.
#
#   env $(scripts/host.sh module|golang [VERSION]) go test ./test/e2e
#
# For golang the contrib filter of Envoy is stood in for by test/golanghost, which
# is built first.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
host=${1:?usage: scripts/host.sh module|golang [VERSION]}
shift
envoy=$(scripts/tools.sh envoy "$@")

case $host in
module) printf 'HOST=module\nENVOY=%s\n' "$envoy" ;;
golang)
  out=$root/bin/golanghost
  scripts/golanghost.sh "$out/libgolanghost.so" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out/contrib" ./test/golanghost/contrib >&2
  printf 'HOST=golang\nENVOY=%s\nGOLANGHOST_ENVOY=%s\nGOLANGHOST_MODULE=%s\n' "$out/contrib" "$envoy" "$out"
  ;;
*)
  printf 'error: a host is module or golang, not %s\n' "$host" >&2
  exit 1
  ;;
esac
