# shellcheck shell=bash disable=SC2034,SC2154
# Which lines and branches of the readers the tests and the inputs of fuzzing reach. Sourced by tools/dev.

# The readers of untrusted bytes: what the paths of their files begin with.
parsing_code=(runtime/file/ runtime/text/ runtime/grammar/ tools/nibble/convert/ tools/nibble/serve/http_parser
              tools/nibble/serve/json_ tools/nibble/hub/hub_api)
# Programs of tests, and which of their tests.
coverage_tests=("file_tests:*" "text_tests:*" "grammar_tests:*" "tools_tests:Convert*-ConvertTokenizer.Gemma3"
                "serve_tests:Http*:Hostile*:*/Hostile*:JsonReader*:Structured*:*/RefusedSchema*" "hub_tests:*" "faults_tests:*Writ*")

# coverage: runs the tests of the readers and every known fuzzing input (those of tests/fuzz/corpus, and
# what this machine's fuzzing has found), and writes lines and branches to build-coverage/summary.txt.
coverage() {
  local build=build-coverage row program target
  rm -f "$build"/*.profraw
  local objects=(-object "$build/nibble")
  for row in "${coverage_tests[@]}"; do
    program=${row%%:*}
    say "coverage: $program"
    # %m: all processes of one program add to one file.
    LLVM_PROFILE_FILE="$root/$build/$program-%m.profraw" "$build/tests/$program" --gtest_brief=1 \
      --gtest_filter="${row#*:}" >"$build/$program.log" 2>&1 ||
      say "coverage: $program has failures; see $build/$program.log"
    objects+=(-object "$build/tests/$program")
  done
  for target in $(fuzz_targets); do
    say "coverage: the inputs of $target"
    LLVM_PROFILE_FILE="$build/fuzz-$target.profraw" "$build/tests/fuzz_regression" "$target" >&2
    local found=(build-fuzz/corpus/"$target"/*)
    [ -e "${found[0]}" ] || continue
    printf '%s\0' "${found[@]}" | LLVM_PROFILE_FILE="$build/found-$target-%m.profraw" \
      xargs -0 -n 2000 "$build/tests/fuzz_regression" "$target" >/dev/null 2>&1 || true
  done
  llvm-profdata-14 merge -sparse "$build"/*.profraw -o "$build/all.profdata"
  llvm-cov-14 report "$build/tests/fuzz_regression" "${objects[@]}" \
    -instr-profile="$build/all.profdata" >"$build/report.txt"
  # Columns: a file, then regions, functions, lines and branches, each with those missed and a share.
  awk -v folders="${parsing_code[*]}" '
    BEGIN { n = split(folders, folder, " ") }
    { for (i = 1; i <= n; i++) if (index($1, folder[i])) {
        lines[i] += $8; missed[i] += $9; branches[i] += $11; untaken[i] += $12 } }
    END { for (i = 1; i <= n; i++)
            printf "%s %.1f%% %.1f%%\n", folder[i], 100 - 100 * missed[i] / lines[i],
                   100 - 100 * untaken[i] / branches[i] }' "$build/report.txt" >"$build/summary.txt"
  provenance >"$build/summary.txt.of"
  sed 's/^/  /; s/ / lines /; s/ \([^ ]*\)$/ branches \1/' "$build/summary.txt"
}
