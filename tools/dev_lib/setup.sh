# shellcheck shell=bash disable=SC2034,SC2154
# Installing by apt what is missing, and only that. Sourced by tools/dev.

# Everything CMake looks for; the program needs all but the last two.
build_packages=(g++ cmake ninja-build pkg-config libtbb-dev libxsimd-dev libhwloc-dev
                libmimalloc-dev libcli11-dev nlohmann-json3-dev libedit-dev libcurl4-openssl-dev
                libgtest-dev libbenchmark-dev)
# Emulated CPUs, on which the tests run the program, an oracle for the patterns that cut words, and a
# server of HTTPS with a certificate that nobody knows.
test_packages=(qemu-user libpcre2-dev openssl)
# The second compiler with its sanitizers, the formatter and the linter.
check_packages=(clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14)

# is_installed PACKAGE[:ARCHITECTURE]: this machine's architecture unless one is named; both can be there.
is_installed() {
  local architecture=${1#"${1%:*}"}
  architecture=${architecture#:}
  [ -n "$architecture" ] || architecture=$(dpkg --print-architecture)
  dpkg-query -W -f='${db:Status-Status} ${Architecture}\n' "${1%:*}" 2>/dev/null |
    grep -qxE "installed ($architecture|all)"
}

# may_be_root WHAT: or else says what to do as root.
may_be_root() {
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "not root and no sudo; as root, run:
  $1"
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

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

  may_be_root "apt-get update && apt-get install -y ${missing[*]}"
  say "install ${missing[*]}"
  local log=build-setup.log apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  as_root "${apt[@]}" update </dev/null >"$log" 2>&1 ||
    say "apt-get update failed; trying with the package lists that are here"
  as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null \
    >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    die "apt could not install: ${missing[*]}"
  }
}

# install_for_preset PRESET [PACKAGE...]
install_for_preset() {
  local packages=("${build_packages[@]}" "${@:2}")
  case "$1" in clang | asan-ubsan | fuzz) packages+=("${check_packages[@]}") ;; esac
  install_packages "${packages[@]}"
}
