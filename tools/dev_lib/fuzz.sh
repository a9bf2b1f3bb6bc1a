# shellcheck shell=bash disable=SC2034,SC2154
# Fuzzing: libFuzzer over the targets of tests/fuzz. What it finds stays in build-fuzz: corpus/TARGET,
# crashes/, and a line of figures per run in figures.tsv. Sourced by tools/dev.

fuzz_targets() {
  sed -n 's/^    {"\([a-z0-9]*\)", run_.*/\1/p' tests/fuzz/targets.cpp
}

# fuzz_target TARGET MINUTES: fails when an input broke a promise, and names the file that holds it.
fuzz_target() {
  local target=$1 minutes=$2 build=build-fuzz status=0
  local corpus=$build/corpus/$target crashes=$build/crashes log=$build/fuzz-$target.log mask=1 longest=8192
  [ "$target" = gguf ] && longest=65536
  [ "$target" = arguments ] && mask=3  # its messages are what it prints
  mkdir -p "$corpus" "$crashes" "tests/fuzz/corpus/$target"
  "$build/tests/fuzz_regression" --seeds "$target" "$corpus"
  say "fuzz $target for $minutes minutes"
  NIBBLE_FUZZ_TARGET=$target "$build/tests/fuzz" "$corpus" "tests/fuzz/corpus/$target" \
    -max_total_time=$((minutes * 60)) -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -max_len=$longest -print_final_stats=1 \
    -close_fd_mask=$mask -artifact_prefix="$crashes/$target-" >"$log" 2>&1 || status=$?
  rmdir "tests/fuzz/corpus/$target" 2>/dev/null || true
  local runs edges
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*' || true)
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%F)" "$target" "$minutes" "${runs:-?}" \
    "${edges:-?}" "$status" >>"$build/figures.tsv"
  say "$target: ${runs:-?} inputs, ${edges:-?} edges of the code reached"
  [ "$status" -eq 0 ] || {
    grep -E '^SUMMARY|^fuzz: |^Test unit|ERROR' "$log" >&2
    die "$target broke a promise; see $log"
  }
}
