#!/usr/bin/env bash
# Runs make targets one after the other as named stages, each bounded in time,
# and goes on after a failed one so that one run shows all that is broken. Only
# a failed stage marked with ! ends the run: nothing after it could pass. A target
# that cannot run on this machine makes dist/results/NAME.skip and succeeds.
#
#   scripts/stages.sh NAME:SECONDS:TARGET... (TARGET! for one that must pass)
#
# The names, results and times come last, after them one line that counts the
# tests of all stages. Exit status 1 if a stage failed.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
results=$root/dist/results
mkdir -p "$results"

child=
# shellcheck disable=SC2329 # called by the trap
stop() {
  [[ -n $child ]] && kill -TERM "$child" 2>/dev/null
  exit 130
}
trap stop INT TERM

table=()
failed=0
for stage in "$@"; do
  IFS=: read -r name seconds target <<<"$stage"
  essential=
  if [[ $target == *! ]]; then
    essential=yes
    target=${target%!}
  fi
  rm -f "$results/$name."{stage,json,skip}
  printf '\n==> %s (make %s, at most %s s)\n' "$name" "$target" "$seconds"
  begin=$SECONDS
  # In the background, since a shell handles signals only between commands.
  timeout --kill-after=20 "$seconds" "${MAKE:-make}" --no-print-directory "$target" </dev/null &
  child=$!
  wait "$child"
  status=$?
  child=
  took=$((SECONDS - begin))
  case $status in
  0) if [[ -f $results/$name.skip ]]; then verdict="skipped: cannot run here"; else verdict=ok; fi ;;
  124 | 137) verdict="FAILED: not done after $seconds s" ;;
  *) verdict="FAILED: exit status $status" ;;
  esac
  printf '==> %s: %s, %d s\n' "$name" "$verdict" "$took"
  table+=("$(printf '%-14s %5d s  %s' "$name" "$took" "$verdict")")
  echo "$status" >"$results/$name.stage"
  if [[ $status -ne 0 ]]; then
    failed=1
    [[ -z $essential ]] || break
  fi
done

printf '\n'
printf '%s\n' "${table[@]}"
printf '\n'
scripts/count.sh "$results"
exit "$failed"
