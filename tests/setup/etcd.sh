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
    local suite=$1
    rm -rf "$dir/$suite.root"
    unpack "$suite" "$dir/$suite.root" etcd-server etcd-client || return 1
    mkdir -p "$dir/$suite.part"
    cp "$dir/$suite.root"/usr/bin/etcd* "$dir/$suite.part/"
    rm -r "$dir/$suite.root"
    mv -T "$dir/$suite.part" "$dir/$suite"
    say "$suite: $("$dir/$suite/etcd" --version | head -n 1)"
}

mkdir -p "$dir"
for suite in $suites; do
    [ -x "$dir/$suite/etcd" ] && [ -x "$dir/$suite/etcdctl" ] && continue
    fetch_suite "$suite" || { say "cannot get etcd of Debian $suite"; exit 1; }
done
printf '%s\n' "$dir"
