# shellcheck shell=bash disable=SC2034,SC2154
# What is known about the program's reliability, in one table: what each check last said on this
# machine, with its commit and day. Sourced by tools/dev.

# tests_in PRESET PATTERN: of the tests that tools/dev test PRESET ran last, those whose names match.
tests_in() {
  local log=build-$1/tests.log
  [ -f "$log" ] || return 0
  awk -v pattern="$2" '
    /^[0-9]+\/[0-9]+ Test: / { name = substr($0, index($0, "Test: ") + 6) }
    /^Test (Passed|Failed)\./ && name ~ pattern { all++; if ($2 != "Passed.") failed++ }
    END { if (all) printf "%d tests, %d failed", all, failed }' "$log"
  of "$log"
}

# of FILE: where the result in it comes from.
of() { if [ -f "$1.of" ]; then printf ' (%s)' "$(cat "$1.of")"; fi; }

fuzzing() {
  [ -f build-fuzz/figures.tsv ] || return 0
  awk -F '\t' '
    { minutes += $3; inputs += $4; seen[$2] = 1; if ($6 != 0) found++; last = $7 ", " $1 }
    END { n = 0; for (t in seen) n++
          printf "%d targets, %.0f minutes of CPU, %.1f million inputs, %d runs ended by a finding (%s)", n,
                 minutes, inputs / 1e6, found, last }' build-fuzz/figures.tsv
}

coverage_row() {
  local file=build-coverage/summary.txt
  [ -f "$file" ] || return 0
  awk '{ sub("/$", "", $1); printf "%s`%s` %s, %s", sep, $1, $2, $3; sep = "; " }' "$file"
  of "$file"
}

# kept FILE: its lines as one, where it is there.
kept() {
  [ -f "$1" ] || return 0
  head -n "${2:-9}" "$1" | paste -sd ';' | tr -d '\n' | sed 's/;/; /g'
  of "$1"
}

# row WHAT COMMAND RESULT: without a result here, what the README says of it.
row() {
  local known="${3:-}"
  [ -n "$known" ] || known=$(sed -n "s#^| $1 | \(.*\) |\$#\1#p" README.md)
  [ -n "$known" ] || known="not run: $2"
  printf '| %s | %s |\n' "$1" "$known"
}

trust_table() {
  printf '| what | last result (commit, day) |\n|---|---|\n'
  row "all tests" "tools/dev test" "$(tests_in release .)"
  row "bad inputs among them" "tools/dev test" "$(tests_in release \
    'ostile|PublishedBug|EveryByte|Damaged|BadModel|Split|Vocabulary|Utf8|fuzz/')"
  row "faults among them" "tools/dev test" \
    "$(tests_in release 'Faults|BareSystem|LostPages|LostModel|Streams|Signals|Sandbox')"
  row "address and undefined-behaviour sanitizers" "tools/dev test asan-ubsan" "$(tests_in asan-ubsan .)"
  row "thread sanitizer" "tools/dev test tsan" "$(tests_in tsan .)"
  row "valgrind" "tools/dev valgrind" "$(kept build-release/valgrind.txt)"
  row "every fault at every place" "tools/dev faults" "$(kept build-release/faults.txt)"
  row "fuzzing" "tools/dev fuzz TARGET MINUTES" "$(fuzzing)"
  row "lines and branches of the readers that tests reach" "tools/dev coverage" "$(coverage_row)"
  row "soak" "tools/dev soak MINUTES" "$(kept build-release/soak.txt 3)"
}

# trust [--readme]: prints the table; --readme puts it between its marks in README.md instead.
trust() {
  case ${1:-} in
    "") trust_table; return ;;
    --readme) ;;
    *) die "trust takes --readme or nothing, not: $1" ;;
  esac
  grep -q '^<!-- trust -->$' README.md || die "README.md has no mark <!-- trust -->"
  trust_table >build-trust.md
  sed -i '/^<!-- trust -->$/,/^<!-- \/trust -->$/{//!d}' README.md
  sed -i '/^<!-- trust -->$/r build-trust.md' README.md
}
