#!/usr/bin/env bash
# How long a cluster of three takes to come back that lost every disk: from all started to all serving writes; median.
#
# Usage: benches/recovery.sh [MIB [TIMES]]     100 MiB, 3 times
#
#   ETCD      a folder with etcd and etcdctl (default: those of tests/setup/etcd.sh, the newest)
#   PROGRAM   the program, with etcd-rejoin-snapshot beside it (default: target/*/release/etcd-rejoin)
set -euo pipefail

mib=${1:-100} times=${2:-3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
etcd=${ETCD:-${ETCD_REJOIN_CACHE:-$HOME/.cache/etcd-rejoin}/etcd/sid}
program=${PROGRAM:-$(ls "$root"/target/*/release/etcd-rejoin)}
work=$(mktemp -d)
declare -A pids=()
end_all() {
    for n in "${!pids[@]}"; do
        kill -9 "${pids[$n]}" 2>/dev/null || true
        wait "${pids[$n]}" 2>/dev/null || true
    done
    pids=()
}
trap 'end_all; rm -rf "$work"' EXIT
export ETCDCTL_API=3 REJOIN_STORE=$work/store REJOIN_RECOVER=auto REJOIN_ETCD=$etcd/etcd
export ETCD_INITIAL_CLUSTER=n1=http://127.88.1.1:2380,n2=http://127.88.1.2:2380,n3=http://127.88.1.3:2380
export ETCDCTL_ENDPOINTS=http://127.88.1.1:2379,http://127.88.1.2:2379,http://127.88.1.3:2379
mkdir "$REJOIN_STORE"

start_all() {
    for n in 1 2 3; do
        env -u ETCDCTL_API -u ETCDCTL_ENDPOINTS "ETCD_NAME=n$n" "ETCD_DATA_DIR=$work/n$n" \
            "ETCD_LISTEN_PEER_URLS=http://127.88.1.$n:2380" \
            "ETCD_INITIAL_ADVERTISE_PEER_URLS=http://127.88.1.$n:2380" \
            "ETCD_LISTEN_CLIENT_URLS=http://127.88.1.$n:2379" \
            "ETCD_ADVERTISE_CLIENT_URLS=http://127.88.1.$n:2379" \
            ETCD_LOG_LEVEL=error "$program" >>"$work/log$n" 2>&1 &
        pids["$n"]=$!
    done
}

# All are healthy, by their own account, which ends with a write that a quorum has.
wait_healthy() {
    local end=$((SECONDS + 120))
    until "$etcd/etcdctl" --command-timeout=2s endpoint health >"$work/health" 2>&1 &&
        "$etcd/etcdctl" --command-timeout=2s put bench/after "$SECONDS" >"$work/put" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { tail -n 20 "$work"/log? "$work/health" >&2; exit 1; }
        sleep 0.1
    done
}

start_all
wait_healthy
for n in $(seq "$mib"); do
    head -c 1000000 /dev/urandom | "$etcd/etcdctl" put "key/$n" >"$work/put"
done
"$(dirname "$program")/etcd-rejoin-snapshot" save >"$work/saved"
for _ in $(seq "$times"); do
    end_all
    rm -rf "$work"/n?
    began=$EPOCHREALTIME
    start_all
    wait_healthy
    awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", b - a }' | tee -a "$work/took"
done
sort -n "$work/took" | awk -v mib="$mib" '{ all[NR] = $1 } END { printf "%d MiB: %s s\n", mib, all[int((NR + 1) / 2)] }'
