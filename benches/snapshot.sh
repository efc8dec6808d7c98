#!/usr/bin/env bash
# What saving a snapshot costs beside etcdctl: both in turn, on one etcd, on one disk; medians.
#
# Usage: benches/snapshot.sh [MIB [TIMES]]     1024 MiB, 3 times
#
#   ETCD      a folder with etcd and etcdctl (default: those of tests/setup/etcd.sh, the newest)
#   PROGRAM   the program (default: target/*/release/etcd-rejoin-snapshot)
#   VALUES    `text` (compresses as JSON does) or `random` (not at all); default text
#   PLACE     where to save besides a directory: s3://BUCKET/PREFIX, with AWS_* set
set -euo pipefail

mib=${1:-1024} times=${2:-3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
etcd=${ETCD:-${ETCD_REJOIN_CACHE:-$HOME/.cache/etcd-rejoin}/etcd/sid}
program=${PROGRAM:-$(ls "$root"/target/*/release/etcd-rejoin-snapshot)}
work=$(mktemp -d)
url=http://127.88.0.1:2379
pid=
end() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

"$etcd/etcd" --data-dir "$work/data" --listen-client-urls "$url" --advertise-client-urls "$url" \
    --listen-peer-urls http://127.88.0.1:2380 --initial-advertise-peer-urls http://127.88.0.1:2380 \
    --initial-cluster default=http://127.88.0.1:2380 --quota-backend-bytes $((16 << 30)) \
    --log-level error >"$work/log" 2>&1 &
pid=$!
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$url
for _ in $(seq 100); do
    "$etcd/etcdctl" endpoint health >"$work/health" 2>&1 && break
    sleep 0.1
done
cat "$work/health"

# A value of 1 MiB less what a request may have around it.
value() {
    if [ "${VALUES:-text}" = random ]; then
        head -c 1000000 /dev/urandom
    else
        # As Kubernetes' objects: many words that repeat, some that do not.
        head -c 200000 /dev/urandom | od -An -tx1 -w16 |
            awk '{ gsub(" ", ""); printf "{\"uid\":\"%s\",\"kind\":\"Pod\",\"namespace\":\"default\"}", $0 }' | head -c 1000000
    fi
}
echo "fills $mib MiB"
for n in $(seq "$mib"); do
    value | "$etcd/etcdctl" put "key/$n" >"$work/put" || { cat "$work/log"; exit 1; }
done

cpu() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }

# Runs a command: seconds, etcd's CPU seconds, peak memory in MiB.
measure() {
    local began=$EPOCHREALTIME before ours peak=0 now hz
    before=$(cpu) hz=$(getconf CLK_TCK)
    "$@" >"$work/out" 2>&1 &
    ours=$!
    while now=$(awk '/^VmHWM/ { print $2 }' "/proc/$ours/status" 2>/dev/null) && [ -n "$now" ]; do
        peak=$now
        sleep 0.05
    done
    wait "$ours" || { cat "$work/out" >&2; return 1; }
    awk -v a="$began" -v b="$EPOCHREALTIME" -v c="$before" -v d="$(cpu)" -v p="$peak" -v hz="$hz" \
        'BEGIN { printf "%.2f %.2f %.0f\n", b - a, (d - c) / hz, p / 1024 }'
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# One snapshot of a kind.
save_by() {
    sync
    case $1 in
        etcdctl) rm -f "$work/by-etcdctl.db" && measure "$etcd/etcdctl" snapshot save "$work/by-etcdctl.db" ;;
        us) rm -rf "$work/store" && mkdir "$work/store" && measure "$program" save --store "$work/store" ;;
        us-to-place) measure "$program" save --store "$PLACE" ;;
    esac
}

kinds=(etcdctl us)
[ -z "${PLACE:-}" ] || kinds+=(us-to-place)
for _ in $(seq "$times"); do
    for kind in "${kinds[@]}"; do
        line=$(save_by "$kind")
        echo "$kind: $line" | tee -a "$work/lines"
    done
done
stat -c '%s bytes, %n' "$work/by-etcdctl.db" "$work"/store/snapshot/*.zst
echo "medians: seconds, CPU seconds of etcd, peak MiB of the one that saves"
for kind in "${kinds[@]}"; do
    for column in 2 3 4; do
        awk -v kind="$kind:" -v column="$column" '$1 == kind { print $column }' "$work/lines" | median
    done | paste -sd' ' | sed "s/^/$kind /"
done
