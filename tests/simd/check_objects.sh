#!/bin/sh
# Proves that kernel objects leak nothing that was compiled for their ISA into the rest of the
# program: check_objects.sh NM READELF OBJECT...
#
# A weak or unique symbol may be the copy that the linker keeps for the whole program; a second
# global can be called from anywhere; a constructor runs before the CPU has been asked. Each object
# must have none of these, and export its one table nibble_kernels_<level>_<file>.
nm=$1
readelf=$2
shift 2
failures=0
checked=0
fail() {
  echo "$1"
  failures=$((failures + 1))
}

[ $# -gt 0 ] || fail "no objects to check"
for object in "$@"; do
  name=$(basename "$(dirname "$object")")/$(basename "$object")
  symbols=$("$nm" --extern-only "$object") || fail "$name: $nm cannot read it"
  sections=$("$readelf" --section-headers --wide "$object") || fail "$name: $readelf cannot read it"

  # nm's letters: w W weak function, v V weak object, u unique, U undefined; else a global.
  leaked=$(echo "$symbols" | awk '$(NF-1) ~ /^[wWvVu]$/ { print $NF }')
  for symbol in $leaked; do fail "$name: weak symbol $symbol"; done
  exported=$(echo "$symbols" | awk '$(NF-1) !~ /^[wWvVuU]$/ { print $NF }')
  set -- $exported
  [ $# -eq 1 ] || fail "$name: $# exported symbols, must be 1: $*"
  for symbol in $exported; do
    case $symbol in
      nibble_kernels_*) ;;
      *) fail "$name: exports $symbol" ;;
    esac
  done
  case $sections in
    *.init_array* | *.ctors*) fail "$name: has a constructor (.init_array)" ;;
  esac
  checked=$((checked + 1))
done
echo "$checked objects checked, $failures leaks"
[ "$failures" -eq 0 ]
