# shellcheck shell=bash disable=SC2034,SC2154
# The long run: tests/soak on the built-in model. Sourced by tools/dev.

# soak MINUTES: a report of ten minutes or more is kept in build-release/soak.txt for tools/dev trust; less
# says nothing of how memory goes on.
soak() {
  local report=build-release/soak-short.txt
  [ "${1%.*}" -lt 10 ] || report=build-release/soak.txt
  build-release/tests/soak tools/models/stories-gemma3-qat-q4_0.gguf "$1" | tee "$report"
  provenance >"$report.of"
}
