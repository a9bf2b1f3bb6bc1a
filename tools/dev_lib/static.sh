# shellcheck shell=bash disable=SC2034,SC2154
# The static libraries that Debian does not have, from Debian's own sources with its patches: oneTBB,
# hwloc (Debian's libhwloc.a wants libudev.a, which is not there either) and mimalloc. They are built
# once, into build-static/TRIPLE. Sourced by tools/dev.

# What a source package's folder is called after `apt-get source`: NAME-VERSION.
source_folder() {
  local found=(build-static/sources/"$1"-*/)
  [ -d "${found[0]}" ] || die "no source of $1 in build-static/sources"
  printf '%s' "${found[0]%/}"
}

# Needs neither root nor a deb-src line of the system: the suites are those that it installs from.
fetch_sources() {
  local lists=$root/build-static/lists sources=$root/build-static/sources
  [ -e "$sources/complete" ] && return
  rm -rf "$sources"
  mkdir -p "$lists/partial" "$sources"
  # shellcheck disable=SC2016  # apt's own variables
  apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)' \
    'Identifier: Packages' | sed -n 's/|Debian$//p' | sort -u >build-static/sources.list
  [ -s build-static/sources.list ] || die "apt knows no Debian suite to take sources from"
  local apt=(apt-get -qq -o "Dir::Etc::SourceList=$root/build-static/sources.list"
             -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$lists"
             -o "APT::Sandbox::User=$(id -un)")
  say "fetch the sources of oneTBB, hwloc and mimalloc"
  "${apt[@]}" update && (cd "$sources" && "${apt[@]}" source onetbb hwloc mimalloc) \
    && touch "$sources/complete"
}

# Of everything that ends up in a static program.
copy_licences() {
  local into=$1 package
  mkdir -p "$into"
  for package in onetbb mimalloc hwloc; do
    cp "$(source_folder "$package")/debian/copyright" "$into/$package" || return
  done
  for package in libc6-dev libstdc++-12-dev libedit-dev libbsd-dev libmd-dev libncurses-dev; do
    cp -L "/usr/share/doc/$package/copyright" "$into/${package%-dev}" || return
  done
}

# static_libraries TRIPLE [CMAKE ARGUMENTS]
static_libraries() {
  local triple=$1 prefix=$root/build-static/$1 work=build-static/work-$1
  shift
  [ -e "$prefix/complete" ] && return
  fetch_sources || die "the sources could not be fetched"
  mkdir -p "$work" "$prefix"
  local log=$work/log launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache
                                            -DCMAKE_C_COMPILER_LAUNCHER=ccache)
  local common=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF
                "-DCMAKE_INSTALL_PREFIX=$prefix" -DCMAKE_INSTALL_LIBDIR=lib "${launcher[@]}" "$@")
  say "build static oneTBB, mimalloc and hwloc for $triple (log: $log)"
  {
    cmake -S "$(source_folder onetbb)" -B "$work/tbb" "${common[@]}" -DTBB_TEST=OFF \
      -DTBB_STRICT=OFF -DTBBMALLOC_BUILD=OFF &&
      cmake --build "$work/tbb" --parallel "$jobs" && cmake --install "$work/tbb" &&
      cmake -S "$(source_folder mimalloc)" -B "$work/mimalloc" "${common[@]}" \
        -DMI_BUILD_SHARED=OFF -DMI_BUILD_OBJECT=OFF -DMI_BUILD_TESTS=OFF \
        -DMI_INSTALL_TOPLEVEL=ON &&
      cmake --build "$work/mimalloc" --parallel "$jobs" && cmake --install "$work/mimalloc" &&
      mkdir -p "$work/hwloc" && (
        source=$PWD/$(source_folder hwloc)
        cd "$work/hwloc" && "$source/configure" --host="$triple" "--prefix=$prefix" \
          --enable-static --disable-shared --disable-plugins --disable-pci --disable-libudev \
          --disable-libxml2 --disable-io --disable-cairo --disable-opencl --disable-cuda \
          --disable-nvml --disable-rsmi --disable-levelzero --disable-gl &&
          make -C hwloc -j "$jobs" install && make -C include install &&
          cp hwloc.pc "$prefix/lib/pkgconfig/") &&
      copy_licences "$prefix/licences" "$triple"
  } >"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    die "the static libraries could not be built; all of the output: $log"
  }
  touch "$prefix/complete"
}
