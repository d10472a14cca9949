#!/usr/bin/env bash
# Builds the library for Envoy's contrib filter for Go, once for each Envoy that is
# supported: what it and Envoy call of each other is fixed for one minor version of
# Envoy only.
#
#   scripts/golang.sh DIRECTORY [FLAGS of go build...]
#
# writes libmcp_gateway_golang-1.38.so and libmcp_gateway_golang-1.39.so, and
# libmcp_gateway_golang.so, which is the one for the Envoy that go.mod names.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
out=${1:?usage: scripts/golang.sh DIRECTORY [FLAGS of go build...]}
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
echo "    building $out/libmcp_gateway_golang.so for Envoy 1.38 and 1.39"

build() { # FILE [FLAGS...]
  local file=$1
  shift
  CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -ldflags '-s -w' -o "$file" "$@" ./filter/golang/lib
  rm -f "${file%.so}.h"
}

# go.mod with another Envoy. The checksum stands in a file beside the library.
other() { # MINOR FLAGS...
  local minor=$1 version
  shift
  version=$(awk 'NR == 1 {print $2}' "filter/golang/lib/envoy-$minor.sum")
  cp go.mod "$work/$minor.mod"
  cat go.sum "filter/golang/lib/envoy-$minor.sum" >"$work/$minor.sum"
  go mod edit -require="github.com/envoyproxy/envoy@$version" "$work/$minor.mod"
  build "$out/libmcp_gateway_golang-$minor.so" -modfile="$work/$minor.mod" "$@"
}

other 1.38 "$@"
build "$out/libmcp_gateway_golang-1.39.so" "$@"
cp "$out/libmcp_gateway_golang-1.39.so" "$out/libmcp_gateway_golang.so"
