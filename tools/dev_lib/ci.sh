# shellcheck shell=bash disable=SC2034,SC2154
# The whole gate: each step's output goes to build-ci/STEP.log and is shown when the step fails; the
# closing line of each step and its seconds are shown at the end. Sourced by tools/dev.

ci_summary=()

# step NAME COMMAND...
step() {
  local name=$1 start=$SECONDS log
  shift
  log=build-ci/$name.log
  say "ci: $name"
  if ! ("$@") >"$log" 2>&1 </dev/null; then
    tail -n 150 "$log"
    die "ci step $name failed after $((SECONDS - start)) s; all of its output: $log"
  fi
  ci_summary+=("$(printf '%-12s %5d s  %s' "$name" $((SECONDS - start)) "$(closing_line "$log")")")
  printf '%s\n' "${ci_summary[-1]}"
}

# ctest's last verdict if there is one, else the last line that is not empty.
closing_line() {
  grep -E '^[0-9]+% tests passed' "$1" | tail -n 1 | grep . || grep -v '^[[:space:]]*$' "$1" | tail -n 1
}

# Minutes under the thread sanitizer, on paths that quicker tests take too; cpu_: need the program.
slow_with_threads='PerplexityTest|HeadAgreement|^machine/cpu_|Architecture|Sampler|IsaDoesNotMatter|LookupReplay'
slow_with_threads+='|DraftTest.(Greedy|Sampled|SmallBatches|AFull|LogProbabilities|StopStrings)|Tuning.Trials'
slow_with_threads+='|LookupTest.(Greedy|Sampled|SmallBatches|AFull|StopStrings)|AQuantizedCache'
slow_with_threads+='|BatchTest.NothingIsKept|AStoryIsTheSame'

# Minutes under the address sanitizer, that run nothing which quicker tests do not: whole texts and
# vocabularies, every float of a function.
slow_with_addresses='PerplexityTest|HeadAgreement|Perplexity.CanBeInterrupted|TenMegabytes|OneUlp|ThreeUlps'
slow_with_addresses+='|ConvertTokenizer.Gemma3|Quantize.EveryType|DraftTest.(Sampled|SmallBatches)|^layering/'

# What threads share: the team, and models on it. The rest is not even built.
test_threads() {
  install_for_preset tsan && build_preset tsan machine_tests model_tests &&
    test_preset tsan -R '^(machine|model)/' -E "$slow_with_threads"
}

run_ci() {
  mkdir -p build-ci
  export CCACHE_DISABLE=1  # everything is compiled here; clang refuses precompiled headers from a cache
  step setup tools/dev setup
  step format tools/dev format --check
  # The README's test command. It includes the layering test, the emulated CPUs and the consumer.
  step test tools/dev test
  # By clang, whose warnings are errors as GCC's are in the other builds.
  step sanitizers tools/dev test asan-ubsan -E "$slow_with_addresses"
  step threads test_threads
  # tools/dev lint takes longer than all of this and is left to the developer.
  # Cross-built, on an emulated Pi 3, Pi 5 and an SVE machine; its text is compared with this machine's.
  step arm tools/dev cross arm64 --quick
  trust | tee build-ci/trust.md
  say "ci: all passed in $SECONDS s"
  printf '%s\n' "${ci_summary[@]}"
}
