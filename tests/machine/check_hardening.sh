#!/bin/sh
# check_hardening.sh READELF PROGRAM: fails unless the program was made so that a fault in it is hard to use:
# loaded anywhere, its tables read-only before main(), no stack that can be executed, guards before return
# addresses, checked copies and containers.
set -u
readelf=$1 program=$2
failed=0

# has WHAT PATTERN TEXT
has() {
  if printf '%s\n' "$3" | grep -qE "$2"; then
    echo "$1: yes"
  else
    echo "$1: NO"
    failed=1
  fi
}

headers=$("$readelf" -hlW "$program")
has "loaded at any address (PIE)" 'Type: +DYN' "$headers"
has "read-only relocations (RELRO)" 'GNU_RELRO' "$headers"
has "no executable stack" 'GNU_STACK.* RW +0x' "$headers"
has "bound at start (BIND_NOW)" 'BIND_NOW|FLAGS_1.*NOW' "$("$readelf" -dW "$program")"
symbols=$("$readelf" -W --dyn-syms "$program")
has "stack guards" '__stack_chk_fail' "$symbols"
has "checked copies (_FORTIFY_SOURCE)" '__(memcpy|snprintf|fprintf|memset|read|memmove|vsnprintf)_chk' "$symbols"
has "checked containers (_GLIBCXX_ASSERTIONS)" '__glibcxx_assert_fail' "$symbols"
exit $failed
