#!/usr/bin/env bash
# Builds the images that the container tests run, from docker/Dockerfile as it is, without a registry:
# its two base images are made here and given as arguments.
#
# Usage: tests/setup/images.sh [SUITE...]
#   Prints `SUITE TAG BASE` for each Debian suite whose etcd is wanted (default: bookworm sid): the
#   image under test, and the image with nothing but etcd that it is made from.
#
#   etcd-rejoin-test/rust       Debian, gcc and this machine's Rust toolchain
#   etcd-rejoin-test/build-base the same with the crates of Cargo.lock: the build needs no network
#   etcd-rejoin-test/etcd       etcd, etcdctl, the C library that they need; no shell
#   etcd-rejoin-test/SUITE      the image, three versions of it are kept
#
# Every tag is a digest of what went in: what is there already is not built again.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"
root=$(cd "$here/../.." && pwd)
suites=("$@")
[ $# -gt 0 ] || suites=(bookworm sid)

digest() { sha256sum | cut -c1-16; }
there() { docker image inspect "$1" >/dev/null 2>&1; }

# One digest for the content of files and folders, whatever their dates and owners are.
content() { tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$@" | digest; }

# A folder that removes itself, as `$work`.
work=
scratch() {
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/images.XXXXXX")
    trap 'rm -rf "$work"' EXIT
}

rust_image() {
    local sysroot tag
    tag=etcd-rejoin-test/rust:$(rustc -vV | digest)
    printf '%s\n' "$tag"
    there "$tag" && return 0
    say "building $tag (debootstrap, about a minute)"
    package debootstrap
    [ "$(id -u)" = 0 ] || die "debootstrap needs root"
    local fs=$work/rust
    retry debootstrap --variant=minbase --include=gcc,libc6-dev bookworm "$fs" "$(mirror)" \
        > "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "cannot build $tag"; }
    rm -rf "$fs"/var/cache/apt/* "$fs"/var/lib/apt/lists/* "$fs"/usr/share/{doc,man,locale}
    sysroot=$(rustc --print sysroot)
    mkdir -p "$fs/usr/local/lib/rustlib"
    cp -a "$sysroot"/bin/{cargo,rustc} "$fs/usr/local/bin/"
    cp -a "$sysroot"/lib/*.so* "$fs/usr/local/lib/"
    cp -a "$sysroot/lib/rustlib/$(rustc --print host-tuple)" "$fs/usr/local/lib/rustlib/"
    tar -C "$fs" -c . | docker import - "$tag" >/dev/null
    rm -rf "$fs"
}

build_base() {
    local rust=$1 tag
    tag=etcd-rejoin-test/build-base:$( (printf '%s' "$rust"; content Cargo.lock) | digest)
    printf '%s\n' "$tag"
    there "$tag" && return 0
    say "building $tag"
    mkdir -p "$work/base"
    (cd "$root" && retry cargo vendor --locked --versioned-dirs "$work/base/vendor" \
        > "$work/log" 2>&1) || { tail -n 5 "$work/log" >&2; die "cannot get the crates"; }
    cat > "$work/base/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/vendor"
CONFIG
    cat > "$work/base/Dockerfile" <<'DOCKERFILE'
ARG RUST_IMAGE
FROM ${RUST_IMAGE}
COPY config.toml /root/.cargo/config.toml
COPY vendor /vendor
DOCKERFILE
    docker build --build-arg "RUST_IMAGE=$rust" -t "$tag" "$work/base" > "$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; die "cannot build $tag"; }
    rm -rf "$work/base"
}

etcd_image() {
    local suite=$1 bin=$cache/etcd/$1 tag
    tag=etcd-rejoin-test/etcd:$suite-$(cat "$bin"/etcd* | digest)
    printf '%s\n' "$tag"
    there "$tag" && return 0
    say "building $tag"
    local fs=$work/etcd lib
    mkdir -p "$fs"/{etc,root,usr/local/bin,var/lib/etcd,var/etcd,tmp}
    chmod 1777 "$fs/tmp"
    printf 'root:x:0:0:root:/root:/sbin/nologin\n' > "$fs/etc/passwd"
    printf 'root:x:0:\n' > "$fs/etc/group"
    cp "$bin"/etcd* "$fs/usr/local/bin/"
    ldd "$bin"/etcd* | grep -oE '/[^ )]+\.so[^ )]*' | sort -u | while read -r lib; do
        mkdir -p "$fs$(dirname "$lib")"
        cp -L "$lib" "$fs$lib"
    done
    tar -C "$fs" -c . | docker import --change 'CMD ["/usr/local/bin/etcd"]' \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        - "$tag" >/dev/null
    rm -rf "$fs"
}

# The image under test, and with it the build stage under a name of its own: so the layers of the
# build before can be found and removed.
image() {
    local suite=$1 base=$2 etcd=$3 tag before stage=etcd-rejoin-test/build-stage:latest
    tag=etcd-rejoin-test/$suite:$( (printf '%s' "$base $etcd"
        content docker/Dockerfile .dockerignore .cargo Cargo.toml Cargo.lock build.rs benches crates src) | digest)
    printf '%s\n' "$tag"
    there "$tag" && return 0
    say "building $tag (a release build, minutes)"
    before=$(docker image inspect --format '{{.Id}}' "$stage" 2>/dev/null || true)
    local build=(docker build -f "$root/docker/Dockerfile" --build-arg "RUST_IMAGE=$base"
        --build-arg "ETCD_IMAGE=$etcd")
    { "${build[@]}" --target build -t "$stage" "$root" && "${build[@]}" -t "$tag" "$root"; } \
        > "$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; die "cannot build $tag"; }
    if [ -n "$before" ] && [ "$before" != "$(docker image inspect --format '{{.Id}}' "$stage")" ]; then
        docker image rm "$before" >/dev/null 2>&1 || true
    fi
    local old
    docker image ls --format '{{.Repository}}:{{.Tag}}' "etcd-rejoin-test/$suite" | tail -n +4 |
        while read -r old; do docker image rm "$old" >/dev/null 2>&1 || true; done
}

has docker || die "docker is missing: install Debian's docker.io, or Docker's own engine"
docker version >/dev/null 2>&1 || die "the docker engine does not answer: $(docker version 2>&1 | tail -n 1)"
mkdir -p "$cache"
exec 9> "$cache/images.lock"
flock 9
scratch
ETCD_SUITES="${suites[*]}" "$here/etcd.sh" >/dev/null
rust=$(rust_image)
base=$(build_base "$rust")
for suite in "${suites[@]}"; do
    etcd=$(etcd_image "$suite")
    tag=$(image "$suite" "$base" "$etcd")
    printf '%s %s %s\n' "$suite" "$tag" "$etcd"
done
