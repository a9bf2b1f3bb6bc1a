# shellcheck shell=bash disable=SC2034,SC2154
# Fuzzing: libFuzzer over the targets of tests/fuzz. What it finds stays in build-fuzz: corpus/TARGET,
# crashes/, and a line of figures per run in figures.tsv. Sourced by tools/dev.

fuzz_targets() {
  sed -n 's/^    {"\([a-z0-9]*\)", run_.*/\1/p' tests/fuzz/targets.cpp
}

# fuzz_target TARGET MINUTES: fails when an input broke a promise, and names the file that holds it.
# The line in figures.tsv: date, target, minutes of this process's CPU, inputs, edges reached, exit code, commit.
fuzz_target() {
  local target=$1 minutes=$2 build=build-fuzz status=0
  local corpus=$build/corpus/$target crashes=$build/crashes log=$build/fuzz-$target.log mask=1 longest=8192
  [ "$target" = gguf ] && longest=65536
  [ "$target" = arguments ] && mask=3  # its messages are what it prints
  local known=()
  [ -d "tests/fuzz/corpus/$target" ] && known=("tests/fuzz/corpus/$target")
  mkdir -p "$corpus" "$crashes"
  "$build/tests/fuzz_regression" --seeds "$target" "$corpus"
  say "fuzz $target for $minutes minutes"
  local TIMEFORMAT='%U %S' spent runs edges
  {
    time NIBBLE_FUZZ_TARGET=$target "$build/tests/fuzz" "$corpus" "${known[@]}" \
      -max_total_time="$(awk "BEGIN { printf \"%d\", $minutes * 60 }")" -timeout=20 -rss_limit_mb=2048 \
      -malloc_limit_mb=1024 -max_len=$longest -print_final_stats=1 \
      -close_fd_mask=$mask -artifact_prefix="$crashes/$target-" >"$log" 2>&1 || status=$?
  } 2>"$log.time"
  spent=$(awk '{ printf "%.2f", ($1 + $2) / 60 }' "$log.time")
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*' || true)
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%F)" "$target" "$spent" "${runs:-?}" \
    "${edges:-?}" "$status" "$(git rev-parse --short HEAD 2>/dev/null || echo '?')" >>"$build/figures.tsv"
  say "$target: ${runs:-?} inputs in $spent minutes of CPU, ${edges:-?} edges of the code reached"
  [ "$status" -eq 0 ] || {
    grep -E '^SUMMARY|^fuzz: |^Test unit|ERROR' "$log" >&2
    say "$target broke a promise; see $log"
    return 1
  }
}

# fuzz_for TARGET|all MINUTES: minutes of each target. A finding does not keep the others from their turn.
fuzz_for() {
  local target broken=() targets=("$1")
  [ "$1" = all ] && mapfile -t targets < <(fuzz_targets)
  for target in "${targets[@]}"; do
    fuzz_target "$target" "$2" || broken+=("$target")
  done
  [ ${#broken[@]} -eq 0 ] || die "findings in: ${broken[*]}; their inputs are in build-fuzz/crashes"
}
