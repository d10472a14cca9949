#!/usr/bin/env bash
# Counts the tests that test2json recorded in DIRECTORY/*.json, subtests
# included, and prints 'N passed, N failed, N skipped'. What failed without a
# failing test counts as one failure: a package that does not build, a stage
# (DIRECTORY/*.stage holds its exit status) that is not a Go test or timed out.
# DIRECTORY/NAME.skip tells that a stage could not run here.
set -euo pipefail

shopt -s nullglob
directory=$1
passed=0 failed=0 skipped=0

for file in "$directory"/*.json; do
  read -r p f s < <(awk '
    # One event a line; keys come in the order in which test2json writes them.
    function value(key,   m) {
      if (!match($0, "\"" key "\":\"[^\"]*\"")) return ""
      m = substr($0, RSTART, RLENGTH)
      sub("^\"" key "\":\"", "", m); sub("\"$", "", m)
      return m
    }
    /"Action":"(pass|fail|skip)"/ {
      action = value("Action"); package = value("Package"); test = value("Test")
      if (test != "") { count[action]++; if (action == "fail") red[package]++ }
      else if (action == "fail") broken[package] = 1
    }
    END {
      for (p in broken) if (!(p in red)) count["fail"]++
      print count["pass"] + 0, count["fail"] + 0, count["skip"] + 0
    }' "$file")
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  name=$(basename "$file" .json)
  # A stage whose own failing tests are counted is not counted again.
  [[ $f -eq 0 ]] || counted[0]+=" $name "
done

for file in "$directory"/*.stage; do
  name=$(basename "$file" .stage)
  status=$(<"$file")
  if [[ -f $directory/$name.json ]]; then
    [[ $status -eq 0 || ${counted[0]:-} == *" $name "* ]] || failed=$((failed + 1))
  elif [[ -f $directory/$name.skip ]]; then
    skipped=$((skipped + 1))
  elif [[ $status -eq 0 ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
done

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
