# shellcheck shell=bash disable=SC2034,SC2154
# The readers under valgrind's memcheck: every read of what was never written, every byte outside of an
# allocation, leaks. Sourced by tools/dev.

valgrind_tests=(file_tests text_tests grammar_tests)
valgrind_targets=(safetensors checkpoint http schema toml importance reference vocabulary)

# Minutes there, or too slow for the limits of time that they check; quicker tests run the same code.
slow_with_valgrind='-*TenMegabytes:*EveryByteTimesEveryValue:*Million*:*AnyBytesPass:*QuadraticDuplicateCheck'

# valgrind_readers: fails with the first finding; writes what ran to build-release/valgrind.txt.
valgrind_readers() {
  local program target log=build-release/valgrind.log tests=0 inputs=0
  local check=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
    --soname-synonyms=somalloc=nouserintercepts)  # file_tests has an operator new of its own
  export NIBBLE_ISA=scalar  # valgrind 3.19 knows no AVX-512
  for program in "${valgrind_tests[@]}"; do
    say "valgrind: $program"
    "${check[@]}" "build-release/tests/$program" --gtest_brief=1 --gtest_filter="$slow_with_valgrind" \
      >"$log" 2>&1 || { cat "$log" >&2; die "$program fails under valgrind"; }
    tests=$((tests + $(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log")))
  done
  for target in "${valgrind_targets[@]}"; do
    say "valgrind: the inputs of $target"
    "${check[@]}" build-release/tests/fuzz_regression "$target" >"$log" 2>&1 ||
      { cat "$log" >&2; die "the inputs of $target fail under valgrind"; }
    inputs=$((inputs + $(sed -n 's/^fuzz: .*: \([0-9]*\) inputs$/\1/p' "$log")))
  done
  echo "$tests tests and $inputs fuzzing inputs of the readers, no findings" | tee build-release/valgrind.txt
  provenance >build-release/valgrind.txt.of
}
