#!/usr/bin/env bash
# Builds the stand-in for Envoy's contrib golang filter (test/golanghost) as a
# dynamic module. The headers it is compiled against are Envoy's own.
#
#   scripts/golanghost.sh FILE.so [FLAGS OF cc...]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m "$1")
shift
cd "$root"

# header MODULE DIRECTORY is where a module of Envoy has a header. What nothing here
# has been built from yet is still to be fetched.
header() {
  go mod download "$1"
  printf '%s/%s\n' "$(go list -m -f '{{.Dir}}' "$1")" "$2"
}

abi=$(header github.com/envoyproxy/envoy/source/extensions/dynamic_modules abi)
contrib=$(header github.com/envoyproxy/envoy contrib/golang/common/go/api)
mkdir -p "$(dirname "$out")"
"${CC:-cc}" -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -fPIC -shared \
  -isystem "$abi" -isystem "$contrib" "$@" -o "$out" test/golanghost/host/*.c -ldl -lpthread
