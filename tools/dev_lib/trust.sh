# shellcheck shell=bash disable=SC2034,SC2154
# What is known about the program's reliability, in one table: what each check last said on this
# machine. Sourced by tools/dev.

# tests_in PRESET PATTERN: how many tests there are, and how many did not pass last time.
tests_in() {
  local log=build-$1/Testing/Temporary/LastTest.log
  [ -f "$log" ] || { echo "not run here: tools/dev test $1"; return; }
  awk -v pattern="$2" '
    /^[0-9]+\/[0-9]+ Test: / { name = substr($0, index($0, "Test: ") + 6) }
    /^Test (Passed|Failed)\./ && name ~ pattern { all++; if ($2 != "Passed.") failed++ }
    END { printf "%d tests, %d failed\n", all, failed }' "$log"
}

row() { printf '| %s | %s |\n' "$1" "$2"; }

trust() {
  printf '| what | last result here |\n|---|---|\n'
  row "all tests" "$(tests_in release .)"
  row "bad inputs" "$(tests_in release \
    'ostile|PublishedBug|EveryByte|Damaged|BadModel|Split|Vocabulary|Utf8|fuzz/')"
  row "faults" "$(tests_in release 'Faults|BareSystem|LostPages|Streams|Signals|Sandbox')"
  row "address and undefined-behaviour sanitizers" "$(tests_in asan-ubsan .)"
  row "thread sanitizer" "$(tests_in tsan .)"
  if [ -f build-fuzz/figures.tsv ]; then
    row "fuzzing" "$(awk -F '\t' '
      { minutes += $3; inputs += $4; seen[$2] = 1; if ($6 != 0) found++ }
      END { n = 0; for (t in seen) n++
            printf "%d targets, %.1f hours, %.1f million inputs, %d runs ended by a finding", n,
                   minutes / 60, inputs / 1e6, found }' build-fuzz/figures.tsv)"
  else
    row "fuzzing" "not run here: tools/dev fuzz TARGET MINUTES"
  fi
  if [ -f build-release/soak.txt ]; then
    row "soak" "$(head -n 3 build-release/soak.txt | paste -sd ';' | sed 's/;/; /g')"
  else
    row "soak" "not run here: tools/dev soak MINUTES"
  fi
}
