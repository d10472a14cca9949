#!/usr/bin/env bash
# go test with readable output and a record for the count at the end of a run.
#
#   scripts/gotest.sh NAME [FLAGS AND PACKAGES OF go test...]
#
# writes dist/results/NAME.json (test2json events). $FORMAT is how gotestsum
# shows the tests; testname shows each one as it ends. go vet is lint's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
name=$1
shift
mkdir -p dist/results
exec go tool -modfile=tools/go.mod gotestsum --format "${FORMAT:-pkgname-and-test-fails}" --hide-summary=skipped \
  --format-hide-empty-pkg --jsonfile "dist/results/$name.json" -- -vet=off "$@"
