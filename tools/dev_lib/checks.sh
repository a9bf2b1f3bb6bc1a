# shellcheck shell=bash disable=SC2034,SC2154
# Formatting and linting. Sourced by tools/dev.

# Every C++ file of the tree, NUL-separated.
list_sources() {
  find arch bench runtime simd tests tools \( -name '*.h' -o -name '*.cpp' \) -print0 | sort -z
}

format_sources() {
  local mode=(-i)
  case "${1:-}" in
    --check) mode=(--dry-run --Werror) ;;
    "") ;;
    *) die "format takes --check or nothing, not: $1" ;;
  esac
  list_sources | xargs -0 -P "$jobs" -n 16 clang-format-14 "${mode[@]}"
}

# Kernels and tests are left out: the linter costs seconds a file and has little to say on intrinsics
# and on GoogleTest's macros.
lint_sources() {
  local files=("$@")
  if [ ${#files[@]} -eq 0 ]; then
    mapfile -d '' files < <(find runtime simd tools -name '*.cpp' -print0 | sort -z)
  fi
  printf '%s\0' "${files[@]}" |
    xargs -0 -P "$jobs" -n 4 clang-tidy-14 --quiet -p build-clang --warnings-as-errors='*'
}
