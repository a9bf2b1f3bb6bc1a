# shellcheck shell=bash disable=SC2034,SC2154
# Cross builds for 64-bit ARM, run on emulated CPUs, and the packages of both architectures. Sourced
# by tools/dev.

arm_packages=(g++-aarch64-linux-gnu qemu-user dpkg-dev cmake ninja-build pkg-config libxsimd-dev
              libcli11-dev nlohmann-json3-dev libtbb-dev:arm64 libhwloc-dev:arm64
              libmimalloc-dev:arm64 libedit-dev:arm64 libcurl4-openssl-dev:arm64 libgtest-dev:arm64
              libbenchmark-dev:arm64)
static_packages=(dpkg-dev make libbsd-dev libmd-dev libncurses-dev)

# Boards' CPUs: Pi 3, Pi 4, Pi 5, servers, SVE of 512 bits; then all that QEMU has, with SVE of each
# length that matters and without it.
arm_cpus=(cortex-a53 cortex-a72 cortex-a76 neoverse-n1 a64fx max max,sve=off
          max,sve-max-vq=1 max,sve-max-vq=2 max,sve-max-vq=4)
# What a gate has time for: no dot product, the Pi 5, everything.
arm_cpus_quick=(cortex-a53 cortex-a76 max,sve-max-vq=2)

install_arm_packages() {
  command -v dpkg >/dev/null || die "cross needs Debian's arm64 packages; elsewhere use the
toolchain file with your board's SDK: tools/docs/boards.md"
  if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    may_be_root "dpkg --add-architecture arm64"
    say "add the architecture arm64"
    as_root dpkg --add-architecture arm64
  fi
  install_packages "${arm_packages[@]}" "$@"
}

# on_cpu CPU COMMAND...: QEMU takes the CPU from the environment, ctest's tests too.
on_cpu() { QEMU_CPU=$1 "${@:2}"; }

# test_arm_cpu BUILD EXTENT CPU: what depends on the CPU, by the test programs themselves: starting one
# emulated process for each of some hundred cases would take most of the time.
test_arm_cpu() {
  local build=$1 extent=$2 cpu=$3
  say "tests on an emulated $cpu"
  on_cpu "$cpu" qemu-aarch64 "$build/tests/simd_tests" --gtest_brief=1 </dev/null ||
    die "simd_tests failed on $cpu"
  # Whole texts take minutes emulated and choose no other kernels.
  [ "$extent" = quick ] ||
    on_cpu "$cpu" qemu-aarch64 "$build/tests/model_tests" --gtest_brief=1 \
      '--gtest_filter=*Determinism*:*Golden*-*Perplexity*' </dev/null ||
    die "model_tests failed on $cpu"
  # On this CPU alone; the ctest of this name compares with the scalar level too.
  ctest --test-dir "$build" --output-on-failure --no-tests=error -R "^emulated/${cpu//./\\.}\$" ||
    die "the program failed on $cpu"
}

# test_arm_cpus BUILD EXTENT CPU...: as many at a time as there are jobs.
test_arm_cpus() {
  export -f say die on_cpu test_arm_cpu
  printf '%s\n' "${@:3}" | xargs -P "$jobs" -I{} bash -c 'test_arm_cpu "$@"' _ "$1" "$2" {} ||
    die "tests failed on an emulated CPU"
}

# The same file and prompt give the same text and the same bits of log-probabilities there and here.
compare_with_host() {
  local host=$1 program=$2
  cmake -DHOST="$host" -DNIBBLE="$program" -DQEMU=qemu-aarch64 -DCPU=cortex-a76 \
    -P tests/emulated/across.cmake
}

# cross_arm64 --quick|--all
cross_arm64() {
  local preset=linux-arm64
  if [ "$1" = --quick ]; then
    build_preset "$preset" nibble_cli simd_tests checked_objects dotprod_control
    test_arm_cpus "build-$preset" quick "${arm_cpus_quick[@]}"
    compare_with_host build-release/nibble "build-$preset/nibble"
    on_cpu cortex-a76 ctest --preset "$preset" --no-tests=error -R '^(consumer|simd/(objects|instructions)/.*)$'
    return
  fi
  build_preset "$preset"
  test_arm_cpus "build-$preset" all "${arm_cpus[@]}"
  compare_with_host build-release/nibble "build-$preset/nibble"
  # Under emulation whole texts take minutes and threads take turns.
  on_cpu cortex-a76 test_preset "$preset" --timeout 900 -E '^emulated/|PerplexityTest|HeadAgreement'
  package_debs "$preset"
  package_static linux-arm64-static aarch64-linux-gnu \
    -DCMAKE_TOOLCHAIN_FILE="$root/tools/toolchains/aarch64-linux-gnu.cmake"
}

# What runs the programs of a preset here.
qemu_for() { case $1 in *arm64*) printf 'qemu-aarch64 -cpu cortex-a76' ;; esac; }

# check_package DIRECTORY PRESET: a story from what was unpacked there, in a place of its own.
check_package() {
  local program story
  program=$(find "$1" -path '*/bin/nibble' -type f)
  [ -n "$program" ] || die "no bin/nibble in the package unpacked to $1"
  # shellcheck disable=SC2046  # two words or none
  story=$(cd / && $(qemu_for "$2") "$program" run --raw -p "Once upon a time" -n 8 --temp 0) ||
    die "the packaged program of $2 does not run"
  say "packaged for $2: Once upon a time$story"
}

package_debs() {
  local preset=$1 build=build-$1 deb scratch
  (cd "$build" && cpack -G DEB >packages.log) || { cat "$build/packages.log"; die "cpack failed"; }
  scratch=$(mktemp -d)
  for deb in "$build"/packages/*.deb; do
    say "$deb: $(dpkg-deb -f "$deb" Architecture), depends on $(dpkg-deb -f "$deb" Depends)"
    dpkg-deb -x "$deb" "$scratch"
  done
  check_package "$scratch" "$preset"
  rm -rf "$scratch"
}

# package_static PRESET TRIPLE [CMAKE ARGUMENTS OF THE LIBRARIES]
package_static() {
  local preset=$1 triple=$2 build=build-$1 scratch
  static_libraries "$triple" "${@:3}"
  build_preset "$preset" nibble_cli nibble
  if readelf --program-headers "$build/nibble" | grep -q INTERP; then
    die "$build/nibble wants a dynamic linker"
  fi
  (cd "$build" && cpack -G TGZ >packages.log) || { cat "$build/packages.log"; die "cpack failed"; }
  scratch=$(mktemp -d)
  tar -xf "$build"/packages/nibble-*-static.tar.gz -C "$scratch"
  check_package "$scratch" "$preset"
  rm -rf "$scratch"
  say "$(ls "$build"/packages/nibble-*-static.tar.gz)"
}
