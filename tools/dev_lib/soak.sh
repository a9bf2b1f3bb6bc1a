# shellcheck shell=bash disable=SC2034,SC2154
# The long run: tests/soak on the built-in model; its report is kept in build-release/soak.txt for
# tools/dev trust. Sourced by tools/dev.
soak() {
  build-release/tests/soak tools/models/stories-gemma3-qat-q4_0.gguf "$1" | tee build-release/soak.txt
}
