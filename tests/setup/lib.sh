# shellcheck shell=bash
# What the scripts of this folder share: speaking, trying again, Debian packages, the mirror's address.
# Sourced; changes nothing by itself.

cache=${ETCD_REJOIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/etcd-rejoin}

# Without them `apt-get update` is content with a list that it did not get.
fresh=(-o APT::Update::Error-Mode=any -o Acquire::Retries=3)

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
# A program on PATH, or a file by its whole path.
present() { case $1 in /*) [ -e "$1" ] ;; *) has "$1" ;; esac; }

# Runs a command up to four times: mirrors have bad seconds.
retry() {
    local try
    for try in 1 2 3 4; do
        "$@" && return 0
        say "failed (try $try of 4): $*"
        sleep $((try * 2))
    done
    return 1
}

# The address of the Debian mirror that this machine uses.
mirror() {
    local uri
    # shellcheck disable=SC2016  # apt replaces the name, not the shell
    uri=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v -- '-security' | head -n 1)
    if [ -z "$uri" ]; then
        uri=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +([^ ]+).*/\3/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
            grep -v -- '-security' | head -n 1 || true)
    fi
    [ -n "$uri" ] || { say "no Debian mirror in this machine's apt configuration"; return 1; }
    printf '%s\n' "$uri"
}

# unpack SUITE DIR PACKAGE...: unpacks packages of a Debian suite below DIR, and installs nothing. The mirror is the
# machine's own; the system's package lists are not touched.
unpack() {
    local suite=$1 root=$2 work uri name
    shift 2
    uri=$(mirror) || return 1
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the value of now is meant
    trap "rm -rf '$work'" RETURN
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/deb" "$root"
    printf 'deb %s %s main\n' "$uri" "$suite" > "$work/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache::archives=$work/archives" -o APT::Sandbox::User=root
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
    retry "${apt[@]}" "${fresh[@]}" update >&2 || return 1
    for name in "$@"; do
        (cd "$work/deb" && retry "${apt[@]}" download "$name/$suite" >&2) || return 1
    done
    for name in "$work"/deb/*.deb; do dpkg -x "$name" "$root" || return 1; done
}

# package PROGRAM [PACKAGE]: makes sure that PROGRAM (or a file, by its whole path) is there, by
# installing Debian's PACKAGE. What is installed already is never replaced.
package() {
    local program=$1 name=${2:-$1}
    present "$program" && return 0
    if ! has apt-get; then
        say "$program is missing, and this is no Debian: install it by hand"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "$program is missing. As root: apt-get install $name"
        return 1
    fi
    say "installing the Debian package $name"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
    if ! "${apt[@]}" install -y --no-install-recommends "$name" >/dev/null 2>&1; then
        retry "${apt[@]}" "${fresh[@]}" update >/dev/null || return 1
        retry "${apt[@]}" install -y --no-install-recommends "$name" >/dev/null || return 1
    fi
    present "$program" || { say "the Debian package $name has no $program"; return 1; }
}

# crate PROGRAM VERSION [ARG...]: makes sure that PROGRAM is there, else builds that version of the
# crate of the same name into the cache.
crate() {
    local program=$1 version=$2
    shift 2
    PATH=$PATH:$cache/tools/bin
    has "$program" && return 0
    say "building $program $version, once (minutes)"
    # Not inside the source tree: its .cargo/config.toml is for the program alone.
    (cd / && retry env -u CARGO_BUILD_TARGET -u CARGO_TARGET_DIR -u RUSTFLAGS -u RUSTC_BOOTSTRAP \
        cargo install --quiet --locked --root "$cache/tools" --version "$version" "$@" "$program" >&2) ||
        return 1
    has "$program"
}
