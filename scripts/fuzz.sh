#!/usr/bin/env bash
# Runs every fuzz target of the module for a while.
#
#   scripts/fuzz.sh [TIME]    per target, as go test -fuzztime takes it; 100000x
#
# A number of runs is the default and not seconds: until Go 1.27 a target may fail
# of nothing but the end of its time (golang.org/issue/75804).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
for_each=${1:-100000x}
count=0
while read -r package directory; do
  grep -qs '^func Fuzz' "$directory"/*_test.go || continue
  mapfile -t targets < <(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$directory"/*_test.go | cut -d' ' -f2)
  for target in "${targets[@]}"; do
    printf -- '--- %s %s\n' "$package" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" "$package"
    count=$((count + 1))
  done
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)
[[ $count -gt 0 ]] || {
  echo "error: no fuzz target found" >&2
  exit 1
}
printf '%d fuzz targets, %s each\n' "$count" "$for_each"
