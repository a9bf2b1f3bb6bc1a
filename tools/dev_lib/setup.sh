# shellcheck shell=bash disable=SC2034,SC2154
# Installing by apt what is missing, and only that. Sourced by tools/dev.

# Everything CMake looks for; the program needs all but the last two.
build_packages=(g++ cmake ninja-build pkg-config libtbb-dev libxsimd-dev libhwloc-dev
                libmimalloc-dev libcli11-dev nlohmann-json3-dev libedit-dev libgtest-dev
                libbenchmark-dev)
# Emulated CPUs, on which the tests run the program.
test_packages=(qemu-user)
# The second compiler, the formatter and the linter.
check_packages=(clang-14 clang-format-14 clang-tidy-14)

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    command -v cmake >/dev/null && return  # not Debian: the person has seen to it, CMake will tell
    die "no apt here; install what these Debian packages hold, then run again: $*"
  fi
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo; as root, run:
  apt-get update && apt-get install -y ${missing[*]}"
    as_root=(sudo)
  fi
  say "install ${missing[*]}"
  local log=build-setup.log apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  "${as_root[@]}" "${apt[@]}" update </dev/null >"$log" 2>&1 ||
    say "apt-get update failed; trying with the package lists that are here"
  "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null \
    >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    die "apt could not install: ${missing[*]}"
  }
}

# install_for_preset PRESET [PACKAGE...]
install_for_preset() {
  local packages=("${build_packages[@]}" "${@:2}")
  if [ "$1" = clang ]; then packages+=("${check_packages[@]}"); fi
  install_packages "${packages[@]}"
}
