# shellcheck shell=bash disable=SC2034,SC2154
# Configuring, building and testing by preset. Sourced by tools/dev.
jobs=${NIBBLE_JOBS:-$(nproc 2>/dev/null || echo 2)}

say() { printf '== %s\n' "$*" >&2; }

die() {
  printf 'tools/dev: %s\n' "$*" >&2
  exit 1
}

configure_preset() {
  local preset=$1 arguments=()
  if command -v ccache >/dev/null; then
    arguments+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  say "configure $preset"
  cmake --preset "$preset" "${arguments[@]}" >"build-$preset.log" 2>&1 || {
    cat "build-$preset.log" >&2
    die "configuring $preset failed"
  }
}

# build_preset PRESET [TARGET...]
build_preset() {
  local preset=$1
  shift
  configure_preset "$preset"
  say "build $preset ${*:-(all)} with $jobs jobs"
  local targets=()
  [ $# -gt 0 ] && targets=(--target "$@")
  cmake --build "build-$preset" --parallel "$jobs" "${targets[@]}" >&2
}

# provenance: which commit, and when; for results that are kept.
provenance() { printf '%s, %s' "$(git rev-parse --short HEAD 2>/dev/null || echo 'no commit')" "$(date -u +%F)"; }

# test_preset PRESET [CTEST ARGUMENTS]: ends with ctest's own closing lines; keeps them for tools/dev trust.
test_preset() {
  local preset=$1 status=0
  shift
  say "test $preset"
  ctest --preset "$preset" --parallel "$jobs" "$@" || status=$?
  cp "build-$preset/Testing/Temporary/LastTest.log" "build-$preset/tests.log"
  provenance >"build-$preset/tests.log.of"
  return "$status"
}
