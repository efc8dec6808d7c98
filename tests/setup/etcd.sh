#!/usr/bin/env bash
# Unpacks Debian's etcd packages (3.4 and two of 3.5) beside each other, and never installs them.
#
# Usage: tests/setup/etcd.sh [DIR]
#   DIR gets one folder for each suite: DIR/bookworm/etcd, etcdctl, (etcdutl).
#   Default: $ETCD_REJOIN_CACHE, else ~/.cache/etcd-rejoin, with /etcd behind it.
#
# The mirror is the machine's own. The system's package lists are not touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"
dir=${1:-$cache/etcd}
suites=${ETCD_SUITES:-bookworm trixie sid}

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
