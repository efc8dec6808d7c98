#!/usr/bin/env bash
# Unpacks what the two virtual machines of tests/vm need, from Debian packages, and installs nothing:
# a kernel with DRBD 8.4, QEMU, and the programs of a guest (drbd-utils, keepalived, etcd, ...).
#
# Usage: tests/setup/vm.sh [DIR]
#   DIR gets:  kernel          the kernel's image
#              guest.img       the files of a guest (initramfs: cpio, gzip)
#              etcd-SUITE.img  one more for each etcd: bookworm has 3.4, trixie 3.5
#              qemu/           QEMU with its own libraries and its own loader; DIR/qemu/run starts it
#   Default: $ETCD_REJOIN_CACHE, else ~/.cache/etcd-rejoin, with /vm behind it.
#
# The mirror is the machine's own. The system's package lists and packages are not touched: packages
# are resolved as if nothing were installed, so that a guest is the same on every machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"
dir=${1:-$cache/vm}
suite=bookworm
# Raised when a list below changes: what an older recipe made is then made again.
recipe=2

packages=(bash busybox-static coreutils drbd-utils e2fsprogs iproute2 keepalived mount procps psmisc
    util-linux xfsprogs)
# What those depend on for their installation or for scripts that no guest runs.
unwanted='perl|python3|libpython3|systemd|usrmerge|libicu|dpkg|debconf|init-system-helpers|gcc-|mawk|base-files|tar_|libsnmp-base|libfile-|libtext-|libnumber-|media-types|lsb-base|sysvinit'
programs=(bash blkid dd drbdadm drbdmeta drbdsetup dumpe2fs e2fsck env findmnt flock fuser ip keepalived
    mke2fs mkfs.xfs mount pgrep pkill ps stat tc timeout tune2fs umount wipefs xfs_repair)
modules=(virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
    failover net_failover virtio_net libcrc32c lru_cache drbd xfs sch_netem)

[ "$(uname -m)" = x86_64 ] || die "these guests are x86_64, this machine is $(uname -m)"
for program in apt-get dpkg-deb gzip flock; do has "$program" || die "$program is missing"; done

# etcd has a cache of its own.
etcds=$("$here/etcd.sh")
made() { [ "$(cat "$dir/recipe" 2>/dev/null)" = "$recipe" ]; }
if made; then printf '%s\n' "$dir"; exit 0; fi

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if made; then printf '%s\n' "$dir"; exit 0; fi
work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

uri=$(mirror)
mkdir -p "$work"/{lists/partial,archives/partial}
: > "$work/status"
printf 'deb %s %s main\n' "$uri" "$suite" > "$work/sources.list"
apt=(apt-get -q -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false
    -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status"
    -o "Dir::Cache::archives=$work/archives" -o APT::Sandbox::User=root
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
retry "${apt[@]}" update >&2

# The names of the packages and of all they depend on.
needed() { "${apt[@]}" --simulate install "$@" | sed -nE 's/^Inst ([^ ]+) .*/\1/p'; }

# unpack DIR PACKAGE...
unpack() {
    local into=$1 deb
    shift
    rm -rf "$work/debs"
    mkdir -p "$work/debs" "$into"
    (cd "$work/debs" && retry "${apt[@]}" download "$@" >&2)
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$into"; done
}

# The folders as a merged system has them: /lib is /usr/lib.
merge() {
    local at
    for at in bin sbin lib lib64; do
        mkdir -p "$1/usr/$at"
        [ ! -d "$1/$at" ] || { cp -a "$1/$at/." "$1/usr/$at/" && rm -rf "${1:?}/$at"; }
        ln -s "usr/$at" "$1/$at"
    done
}

loader=lib64/ld-linux-x86-64.so.2
library_path() { printf '%s' "$1/usr/lib/x86_64-linux-gnu:$1/usr/lib"; }

unpack_names=$(needed "${packages[@]}" | grep -vE "^($unwanted)")
# shellcheck disable=SC2086  # names have no spaces
unpack "$work/all" $unpack_names
merge "$work/all"

# The guest: the programs, the libraries they ask for, the kernel's modules.
root=$work/root
mkdir -p "$root"/{dev,etc/drbd.d,etc/keepalived,lib/modules,mnt,proc,root,run,sys,tmp,usr/bin,usr/sbin,usr/lib/x86_64-linux-gnu,usr/lib64,usr/lib/drbd,var/lib/drbd}
mv "$root/lib" "$work/lib" && cp -a "$work/lib/." "$root/usr/lib/"
for at in bin sbin lib lib64; do ln -sfn "usr/$at" "$root/$at"; done
ln -s ../run "$root/var/run"
ln -s ../run/lock "$root/var/lock"

paths=()
for program in "${programs[@]}"; do
    at=$(find "$work/all/usr/bin" "$work/all/usr/sbin" -name "$program" | head -n 1)
    [ -n "$at" ] || die "no program $program in the packages"
    cp -L "$at" "$root/${at#"$work/all/"}"
    paths+=("$root/${at#"$work/all/"}")
done
# What drbdadm runs in its place when the module is 8.4, and the scripts beside it.
cp -RL "$work/all/usr/lib/drbd/." "$root/usr/lib/drbd/"
paths+=("$root/usr/lib/drbd/drbdadm-84" "$root/usr/lib/drbd/drbdsetup-84")
ln -s bash "$root/usr/bin/sh"
ln -s mke2fs "$root/usr/sbin/mkfs.ext4"
ln -s e2fsck "$root/usr/sbin/fsck.ext4"
busybox=$(find "$work/all/usr/bin" -name busybox)
cp "$busybox" "$root/usr/bin/busybox"
for applet in $("$busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done
cp -L "$work/all/$loader" "$root/$loader"
for program in "${paths[@]}"; do
    "$work/all/$loader" --library-path "$(library_path "$work/all")" --list "$program" |
        sed -nE 's/.*=> ([^ ]+) .*/\1/p'
done | sort -u > "$work/libraries"
while read -r library; do
    case $library in "$work/all"/*) ;; *) die "a library of the host: $library" ;; esac
    cp -L "$library" "$root/usr/lib/x86_64-linux-gnu/"
done < "$work/libraries"
printf 'root:x:0:0:root:/root:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\n' > "$root/etc/group"
printf '127.0.0.1 localhost\n10.1.0.1 node1\n10.1.0.2 node2\n' > "$root/etc/hosts"
printf 'global { usage-count no; }\ninclude "drbd.d/*.res";\n' > "$root/etc/drbd.conf"

# The kernel's package alone, without what it asks for where it is installed.
kernel=$(needed linux-image-cloud-amd64 | grep -E '^linux-image-[0-9]')
unpack "$work/kernel" "$kernel"
for module in "${modules[@]}"; do
    at=$(find "$work/kernel" -name "$module.ko" | head -n 1)
    [ -n "$at" ] || die "no module $module in $kernel"
    cp "$at" "$root/usr/lib/modules/"
done
cp "$work"/kernel/boot/vmlinuz-* "$work/kernel.part"

# archive FROM TO
archive() { (cd "$1" && find . | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 > "$2"; }
archive "$root" "$work/guest.part"
for at in "$etcds"/*/; do
    name=$(basename "$at")
    mkdir -p "$work/etcd-$name/usr/bin"
    cp "$at"/etcd "$at"/etcdctl "$work/etcd-$name/usr/bin/"
    archive "$work/etcd-$name" "$work/etcd-$name.part"
done

# shellcheck disable=SC2046  # names have no spaces
unpack "$work/qemu" $(needed qemu-system-x86 | grep -vE "^($unwanted|iso-codes|adduser|passwd)")
merge "$work/qemu"
rm -rf "$work"/qemu/usr/share/{doc,man,locale,info}
cat > "$work/qemu/run" <<'END'
#!/bin/sh
# Starts QEMU by its own loader, with its own libraries: the host's may be older or newer.
here=$(cd "$(dirname "$0")" && pwd)
export QEMU_MODULE_DIR="$here/usr/lib/x86_64-linux-gnu/qemu"
exec "$here/lib64/ld-linux-x86-64.so.2" --library-path \
    "$here/usr/lib/x86_64-linux-gnu:$here/usr/lib/x86_64-linux-gnu/pulseaudio:$here/usr/lib" \
    "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" \
    -L "$here/usr/lib/ipxe/qemu" "$@"
END
chmod +x "$work/qemu/run"
"$work/qemu/run" --version >&2

for at in "$work"/*.part; do mv "$at" "$dir/$(basename "$at" .part | sed 's/^\(guest\|etcd-.*\)$/\1.img/')"; done
rm -rf "$dir/qemu"
mv "$work/qemu" "$dir/qemu"
printf '%s\n' "$recipe" > "$dir/recipe"
say "guests: $kernel, $(du -sh "$dir" | cut -f1)"
printf '%s\n' "$dir"
