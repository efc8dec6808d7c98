#!/usr/bin/env bash
# Three members on loopback; one loses its disk and comes back by the same command. Under a minute
# once the program is built. Everything happens in a temporary folder and is removed at the end.
#
# Usage: examples/quickstart.sh
#   Takes the etcd on PATH, else unpacks Debian's packages without installing them.
#   ETCD_REJOIN=PROGRAM   take this instead of building one
#   KEEP=1                keep the folder with data and logs
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/setup/lib.sh
. "$root/tests/setup/lib.sh"

bold='' dim='' green='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
tell() { printf '  %s\n' "$*"; }
shown() { sed "s/^/    $dim/; s/\$/$plain/"; }
good() { printf '  %s%s%s\n' "$green" "$*" "$plain"; }

work=
declare -A pids=()
finish() {
    local code=$? n
    trap '' INT TERM
    if [ "$code" != 0 ] && [ -e "$work/n1.log" ]; then
        printf '%sfailed.%s What each member said last:\n' "$red" "$plain"
        tail -n 8 "$work"/n?.log 2>/dev/null | cut -c1-240 | shown
    fi
    # The data goes anyway: no need to let the last leader look for a successor. An etcd that is a child
    # of etcd-rejoin ends with it.
    for n in "${!pids[@]}"; do kill -9 "${pids[$n]}" 2>/dev/null || true; done
    for n in "${!pids[@]}"; do wait "${pids[$n]}" 2>/dev/null || true; done
    if [ -n "$work" ] && [ -n "${KEEP:-}" ]; then
        tell "kept: $work"
    elif [ -n "$work" ]; then
        for n in 1 2 3 4 5; do rm -rf "$work" 2>/dev/null && break; sleep 0.2; done
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "${TMPDIR:-/tmp}/etcd-rejoin.XXXXXX")

# ---- what is needed -----------------------------------------------------------------------------

# Debian's etcd, unpacked beside the system: installing it would start a service.
unpacked_etcd() {
    local dir=$cache/quickstart
    if [ ! -x "$dir/usr/bin/etcdctl" ]; then
        has apt-get && has dpkg || return 1
        tell "There is no etcd here. Unpacking Debian's packages into $dir; nothing is installed."
        mkdir -p "$work/deb" "$dir"
        local get=(env -C "$work/deb" apt-get -q download etcd-server etcd-client)
        if ! "${get[@]}" >/dev/null 2>&1; then
            [ "$(id -u)" = 0 ] || return 1
            retry apt-get -q update >/dev/null && retry "${get[@]}" >/dev/null || return 1
        fi
        local deb
        for deb in "$work"/deb/*.deb; do dpkg -x "$deb" "$dir"; done
    fi
    PATH=$PATH:$dir/usr/bin
}

title "Getting ready"
if ! { has etcd && has etcdctl; } && ! unpacked_etcd; then
    die "etcd and etcdctl are missing. Install them, on Debian: apt-get install etcd-server etcd-client"
fi
tell "etcd:        $(command -v etcd) ($(etcd --version | head -n 1))"

program=${ETCD_REJOIN:-}
if [ -z "$program" ]; then
    has cargo || die "cargo is missing: install Rust with rustup, see https://rustup.rs"
    if ! package cc gcc || ! package /usr/include/stdlib.h libc6-dev; then die "a C compiler is missing"; fi
    tell "Building etcd-rejoin; the first time takes a minute or two."
    (cd "$root" && cargo build --release --locked --quiet)
    program=$(find "$root"/target/*/release -maxdepth 1 -name etcd-rejoin -type f | head -n 1)
fi
tell "etcd-rejoin: $program ($("$program" --version))"

# ---- the cluster --------------------------------------------------------------------------------

# Addresses of its own: nothing that runs here already is in the way.
net=127.$((RANDOM % 200 + 20)).$((RANDOM % 250 + 1))
cluster=n1=http://$net.1:2380,n2=http://$net.2:2380,n3=http://$net.3:2380

# Starts member N, in the background. The same command every time, whatever happened before.
start() {
    local n=$1
    env -i PATH="$PATH" \
        ETCD_NAME="n$n" \
        ETCD_DATA_DIR="$work/disk$n/data" \
        ETCD_INITIAL_CLUSTER="$cluster" \
        ETCD_INITIAL_ADVERTISE_PEER_URLS="http://$net.$n:2380" \
        ETCD_LISTEN_PEER_URLS="http://$net.$n:2380" \
        ETCD_LISTEN_CLIENT_URLS="http://$net.$n:2379" \
        ETCD_ADVERTISE_CLIENT_URLS="http://$net.$n:2379" \
        REJOIN_LOG_FORMAT=text "$program" >> "$work/n$n.log" 2>&1 &
    pids[$n]=$!
}

ctl() {
    local n=$1
    shift
    env -i PATH="$PATH" ETCDCTL_API=3 etcdctl --dial-timeout 500ms --command-timeout 2s \
        --endpoints "http://$net.$n:2379" "$@" 2>>"$work/etcdctl.log"
}

# Waits until a command succeeds, for 30 seconds.
until_true() {
    local what=$1 end=$((SECONDS + 30))
    shift
    until "$@" >/dev/null; do
        [ $SECONDS -lt $end ] || { say "$what: not within 30 seconds"; return 1; }
        sleep 0.1
    done
}
listed() { ctl 1 member list | grep -E "^[0-9a-f]+, started, n3, .*, false$"; }

title "1. Three members, started by the same command but for their number"
tell "ETCD_INITIAL_CLUSTER=$cluster etcd-rejoin"
tell "Their disks are empty. Each asks the others: only when all were heard, and all are empty,"
tell "a new cluster is founded, and each becomes etcd."
for n in 1 2 3; do mkdir "$work/disk$n"; start $n; done
for n in 1 2 3; do until_true "n$n is healthy" ctl $n endpoint health; done
ctl 1 member list | shown

title "2. Some keys"
for i in 1 2 3 4 5; do ctl 1 put "fruit/$i" "apple $i" >/dev/null; done
ctl 1 get fruit/ --prefix --keys-only | grep . | shown

title "3. Member n3 is killed, and its disk is gone"
before=$(listed | cut -d, -f1)
tell "kill -9 ${pids[3]}; rm -rf disk3"
{ kill -9 "${pids[3]}"; wait "${pids[3]}" || true; } 2>/dev/null
unset 'pids[3]'
rm -rf "$work/disk3"
mkdir "$work/disk3"
# If n3 was the leader, the others elect a new one first.
until_true "a write without n3" ctl 1 put fruit/6 "pear, written while n3 was away"
tell "The others still list it as $before, and go on writing: fruit/6."
tell "etcd alone, started empty under this identity, would refuse, hang, or forget what it voted for."

title "4. The same command once more"
: > "$work/n3.log"
started=${EPOCHREALTIME/[.,]/}
start 3
rejoined() { local now; now=$(listed | cut -d, -f1) && [ -n "$now" ] && [ "$now" != "$before" ]; }
until_true "n3 is a member again" rejoined
until_true "n3 is healthy" ctl 3 endpoint health
took=$(((${EPOCHREALTIME/[.,]/} - started) / 1000))
tell "What it said before etcd took its place:"
grep -aE '^[0-9T:.-]+Z (ERROR|WARN |INFO ) ' "$work/n3.log" | cut -d' ' -f2- | cut -c1-200 | shown

title "5. It is back"
ctl 1 member list | shown
now=$(listed | cut -d, -f1)
keys=$(ctl 3 get fruit/ --prefix --keys-only --consistency=s | grep -c .)
[ "$keys" = 6 ] || die "n3 holds $keys keys of 6"
ctl 3 get fruit/6 --print-value-only --consistency=s | shown
tell "Nothing stands in front of it: process ${pids[3]} was etcd-rejoin, and is now $(cat "/proc/${pids[3]}/comm")."
good "n3 is a voter again after $took ms: new identity $now, all $keys keys on its own disk."
