# shellcheck shell=bash disable=SC2034,SC2154
# A machine with two memory nodes, emulated: QEMU boots Debian's kernel with the program in its
# initramfs, and what the kernel says of the program's pages is checked. Sourced by tools/dev.

guest_packages=(qemu-system-x86 busybox-static cpio gzip)

# guest_kernel DIRECTORY: the kernel for virtual machines, unpacked and not installed.
guest_kernel() {
  [ -e "$1/vmlinuz" ] && return
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ {print $2; exit}')
  [ -n "$package" ] || die "apt knows no linux-image-cloud-amd64; run apt-get update"
  say "download $package"
  (cd "$1" && apt-get -qq download "$package" 2>/dev/null && dpkg-deb -x "$package"_*.deb kernel &&
    mv kernel/boot/vmlinuz-* vmlinuz && rm -r kernel "$package"_*.deb) ||
    die "the kernel could not be downloaded: $package"
}

# guest_init: what runs in the guest. Each answer stands between its marks on the serial line.
guest_init() {
  cat <<'TEXT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
story="--raw -p Once --temp 0"
between() { echo "<<$1"; shift; "$@" 2>&1; echo ">>"; }
# The pages while it runs: it is stopped when it has written some words.
pages() {
  : >/words
  nibble run /model.gguf $story --ignore-eos --numa "$1" >/words 2>/dev/null &
  until [ "$(wc -c </words)" -gt 20 ]; do sleep 0.1; done
  kill -STOP $!
  cat /proc/$!/numa_maps
  kill -KILL $!
}
machine() { nibble cpu | head -n 12; }
between cpu machine
between auto nibble run /model.gguf $story -n 24 --stats
between both nibble run /model.gguf $story -n 24 --stats --numa 0,1
between second nibble run /model.gguf $story -n 24 --stats --numa 1
between both_pages pages 0,1
between second_pages pages 1
poweroff -f
TEXT
}

# guest_initramfs DIRECTORY: busybox, the program with its libraries, the model.
guest_initramfs() {
  local root=$1/root library
  rm -rf "$root"
  mkdir -p "$root"/{bin,proc,sys,dev,tmp}
  cp /bin/busybox build-release/nibble "$root/bin/"
  cp tools/models/stories-gemma3-qat-q4_0.gguf "$root/model.gguf"
  ldd build-release/nibble | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root${library%/*}"
    cp -L "$library" "$root$library"
  done
  guest_init >"$root/init"
  chmod +x "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$1/initramfs"
  rm -r "$root"
}

# answer NAME LOG: what stands between the marks.
answer() { sed -n "/<<$1\r*$/,/^>>\r*$/p" "$2" | tr -d '\r' | sed '1d;$d'; }

# expect LOG NAME REGEX WHAT
expect() {
  answer "$2" "$1" | grep -qE -- "$3" && return
  answer "$2" "$1" >&2
  die "in the guest, $2: $4"
}

# pages_of LOG NAME POLICY NODE: 4 KiB pages on a node of all mappings with that policy.
pages_of() {
  answer "$2" "$1" | awk -v policy="$3" -v node="N$4=" '$2 == policy {
    size = 4
    for (i = 3; i <= NF; ++i) if ($i ~ /^kernelpagesize_kB=/) size = substr($i, 19)
    for (i = 3; i <= NF; ++i) if (index($i, node) == 1) sum += substr($i, length(node) + 1) * size / 4
  } END { print sum + 0 }'
}

numa_guest() {
  local work=build-guest log=build-guest/serial.log start=$SECONDS
  mkdir -p "$work"
  guest_kernel "$work"
  guest_initramfs "$work"
  say "boot a machine of two memory nodes"
  timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 4 -m 1024 -nographic \
    -no-reboot -nic none -kernel "$work/vmlinuz" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check" \
    -object memory-backend-ram,id=m0,size=512M -numa node,nodeid=0,cpus=0-1,memdev=m0 \
    -object memory-backend-ram,id=m1,size=512M -numa node,nodeid=1,cpus=2-3,memdev=m1 \
    </dev/null >"$log" 2>&1 || die "the guest did not end in time; its output: $log"

  expect "$log" cpu '4 cores.*2 memory nodes' 'the two nodes are not seen'
  expect "$log" cpu 'memory node 1 +100 % of the pages' 'pages wanted on node 1 lie elsewhere'
  expect "$log" auto '^run +2 threads' 'the small model is not on one node'
  expect "$log" both '^nodes +2, 100 % of [1-9]' 'weights do not lie where they are read'
  expect "$log" both '^run +4 threads' 'the model is not on both nodes'
  expect "$log" second '^nodes +1, 100 % of [1-9]' 'weights are not on node 1'
  local here story mode
  here=$(build-release/nibble run tools/models/stories-gemma3-qat-q4_0.gguf --raw -p Once --temp 0 \
    -n 24 2>/dev/null)
  for mode in auto both second; do
    story=$(answer "$mode" "$log")
    [[ $story == *"$here"* ]] || die "in the guest, --numa $mode: another text than here: $story"
  done

  # What the kernel says itself: nearly all weights on the node that was wanted, shared fairly.
  local first second stray
  first=$(pages_of "$log" both_pages prefer:0 0)
  second=$(pages_of "$log" both_pages prefer:1 1)
  stray=$(($(pages_of "$log" both_pages prefer:0 1) + $(pages_of "$log" both_pages prefer:1 0)))
  say "--numa 0,1: $first pages on node 0, $second on node 1, $stray astray"
  [ "$second" -ge 300 ] && [ "$first" -ge "$second" ] && [ $((stray * 50)) -le "$second" ] ||
    die "in the guest: weights are not shared by the nodes: $log"
  # Few words touch few of its pages, and those may be all of one node's turn.
  [ $(($(pages_of "$log" both_pages interleave:0-1 0) + $(pages_of "$log" both_pages interleave:0-1 1))) -gt 0 ] ||
    die "in the guest: the KV cache is not of both nodes' pages: $log"
  second=$(pages_of "$log" second_pages prefer:1 1)
  stray=$(pages_of "$log" second_pages prefer:1 0)
  say "--numa 1: $second pages on node 1, $stray astray"
  [ "$second" -ge 600 ] && [ $((stray * 50)) -le "$second" ] ||
    die "in the guest: weights are not on node 1: $log"
  say "the guest's pages lie right; $((SECONDS - start)) s"
}
