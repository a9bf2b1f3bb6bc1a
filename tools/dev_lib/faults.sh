# shellcheck shell=bash disable=SC2034,SC2154
# Every call of the system refused, halved and deadly at every place where it is made, not at some of each
# as in ctest. Sourced by tools/dev.

all_faults() {
  local report=build-release/faults.txt log=build-release/faults.log start=$SECONDS
  NIBBLE_FAULTS_ALL=1 build-release/tests/faults_tests --gtest_brief=1 2>&1 | tee "$log"
  sed -n 's/^\([0-9]* runs with a fault\)$/\1/p' "$log" | sed "s/$/, none that broke a promise, in $((SECONDS - start)) s/" >"$report"
  provenance >"$report.of"
  cat "$report"
}
