#!/usr/bin/env bash
# Unpacks Debian's etcd packages (3.4 and two of 3.5) beside each other, and never installs them.
#
# Usage: tests/setup/etcd.sh [DIR]
#   DIR gets one folder for each suite: DIR/bookworm/etcd, etcdctl, (etcdutl).
#   Default: $ETCD_REJOIN_CACHE, else ~/.cache/etcd-rejoin, with /etcd behind it.
#
# The mirror is the machine's own. The system's package lists are not touched.
set -euo pipefail

cache=${ETCD_REJOIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/etcd-rejoin}
dir=${1:-$cache/etcd}
suites=${ETCD_SUITES:-bookworm trixie sid}

say() { printf '%s\n' "$*" >&2; }

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
    uri=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v -- '-security' | head -n 1)
    if [ -z "$uri" ]; then
        uri=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +([^ ]+).*/\3/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
            grep -v -- '-security' | head -n 1 || true)
    fi
    [ -n "$uri" ] || { say "no Debian mirror in this machine's apt configuration"; return 1; }
    printf '%s\n' "$uri"
}

fetch_suite() {
    local suite=$1 uri=$2 work
    [ -x "$dir/$suite/etcd" ] && [ -x "$dir/$suite/etcdctl" ] && return 0
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the value of now is meant
    trap "rm -rf '$work'" RETURN
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/deb" "$work/root"
    printf 'deb %s %s main\n' "$uri" "$suite" > "$work/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache::archives=$work/archives" -o APT::Sandbox::User=root
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
    retry "${apt[@]}" update >&2
    (cd "$work/deb" && retry "${apt[@]}" download "etcd-server/$suite" "etcd-client/$suite" >&2)
    local deb
    for deb in "$work"/deb/*.deb; do dpkg -x "$deb" "$work/root"; done
    mkdir -p "$dir/$suite.part"
    cp "$work"/root/usr/bin/etcd* "$dir/$suite.part/"
    mv -T "$dir/$suite.part" "$dir/$suite"
    say "$suite: $("$dir/$suite/etcd" --version | head -n 1)"
}

mkdir -p "$dir"
uri=
for suite in $suites; do
    [ -x "$dir/$suite/etcd" ] && continue
    [ -n "$uri" ] || uri=$(mirror)
    fetch_suite "$suite" "$uri" || { say "cannot get etcd of Debian $suite"; exit 1; }
done
printf '%s\n' "$dir"
