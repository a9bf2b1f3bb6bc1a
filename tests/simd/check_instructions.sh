#!/bin/sh
# Proves that objects hold no instruction beyond what their level asks of a CPU:
# check_instructions.sh OBJDUMP AS BASE "FEATURE..." OBJECT...
#
# Each object is disassembled and the text assembled again by an assembler that is told of BASE and
# of the features alone (names as in simd/cpu.h): its tables, not ours, say which instruction belongs
# to which feature. On x86 the text does not tell AVX-512's encoding (EVEX) from AVX's, the first
# byte of the instruction does. x86's TZCNT is BSF with a prefix that older CPUs ignore: compilers
# write it for all of them where both give the same. FEATURES is "none" for the architecture's base.
objdump=$1
as=$2
base=$3
features=$4
shift 4
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
objects=0
instructions=0
fail() {
  echo "$1"
  failures=$((failures + 1))
}

march=$base
without=
evex=0
for feature in $features; do
  case $feature in
    none | neon) continue ;;  # NEON is in every ARMv8-A
    # The assembler knows these from ARMv8.2 on alone, which has atomics and more of its own.
    dotprod | i8mm | fp16 | sve) march=armv8.2-a${march#armv8*-a} without=+nolse+nordma ;;
    sse42) feature=sse4.2 ;;
    avxvnni) feature=avx_vnni ;;
    avx512vnni | avx512bf16 | avx512vbmi) feature=avx512_${feature#avx512} ;;
  esac
  case $feature in avx512*) evex=1 ;; esac
  march=$march+$feature
done
march=$march$without

[ $# -gt 0 ] || fail "no objects to check"
for object in "$@"; do
  name=$(basename "$(dirname "$object")")/$(basename "$object")
  "$objdump" --disassemble --wide "$object" >"$work/text" || fail "$name: $objdump cannot read it"
  # "  1c:<tab>eb 0e<tab>jmp 2c <symbol+0x2c>": the notes behind # and // go, places become this one.
  awk -F '\t' -v evex="$evex" -v name="$name" -v odd="$work/odd" '
    /^ *[0-9a-f]+:\t/ && NF >= 3 {
      if (!evex && $2 ~ /^62 /) print name ": AVX-512 encoding: " $3 > odd
      line = $3
      for (i = 4; i <= NF; ++i) line = line " " $i
      sub(/ *(#|\/\/) .*/, "", line)
      sub(/[0-9a-f]+ <[^>]*>$/, ".", line)
      sub(/^(data16 )+/, "", line)  # padding
      sub(/^tzcnt /, "bsf ", line)
      print line
    }' "$work/text" >"$work/again.s"
  count=$(wc -l <"$work/again.s")
  [ "$count" -gt 0 ] || fail "$name: no instructions"
  "$as" -march="$march" -o "$work/again.o" "$work/again.s" 2>"$work/errors" ||
    sed -n "s|^[^:]*:[0-9]*: |$name: |p" "$work/errors" >>"$work/odd"
  objects=$((objects + 1))
  instructions=$((instructions + count))
done
if [ -s "$work/odd" ]; then
  # By mnemonic: operands differ a thousand times.
  sed "s/\(\`[a-z0-9.]*\)[^']*'/\1'/" "$work/odd" | sort | uniq -c | sort -rn | head -n 20
  failures=$((failures + $(wc -l <"$work/odd")))
fi
echo "$objects objects, $instructions instructions checked against $march, $failures beyond it"
[ "$failures" -eq 0 ]
