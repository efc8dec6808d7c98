#!/usr/bin/env bash
# Runs every check and every test, on a clean checkout of a machine that has Rust and Docker.
#
# Usage: tests/run.sh [NAME...]     all parts but vm-all, or the named ones
#        tests/run.sh --list        their names, and what each asks
#
# Missing tools are installed as Debian packages (as root; else it says which), or built once into
# $ETCD_REJOIN_CACHE (default ~/.cache/etcd-rejoin). Goes on after a failure. The last line is
# `N passed, N failed`; the exit code is 1 if anything failed.
#
#   ETCD_REJOIN_ETCDS          further etcds, as /path/3.6.14:/path/3.7.1: folders with etcd, etcdctl and etcdutl. What
#                              is run with the newest of Debian's is run with each of them too. Folders in the cache
#                              beside Debian's that are named by their version (etcd/3.6.14) are taken by themselves.
#   ETCD_REJOIN_FUZZ_SECONDS   how long each fuzz target runs (default 60)
#   ETCD_REJOIN_PART_SECONDS   how long one command may take (default 1800; 5400 for vm-all)
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
# shellcheck source=tests/setup/lib.sh
. tests/setup/lib.sh

declare -A asks=(
    [format]="is the code formatted as rustfmt does it?"
    [shell]="has shellcheck nothing to say about any script?"
    [lint]="has clippy nothing to say?"
    [doc]="do the book and the documentation of the code build without a warning?"
    [deny]="are licenses, sources and dependencies the ones that deny.toml says?"
    [manifests]="do the manifests and the chart for Kubernetes render, are they valid, and the same?"
    [build]="does a release build, and is it one static file?"
    [test]="everything that cargo test runs, real etcd included"
    [container]="PID 1, stop, restart, lost volume, in Docker"
    [mount]="checking, mounting, unmounting and naming holders, on loop devices, as root"
    [examples]="does every example do what it says?"
    [plane]="does the control plane that the part kube runs build? Once"
    [kube]="does a StatefulSet of our manifests live under Kubernetes' own controllers?"
    [netns]="does the gate say what real keepalived wishes, in network namespaces?"
    [vm]="does a crash, a cut or a stop of two machines with DRBD and keepalived lose a write?"
    [vm-all]="the same in every way that we could think of"
    [fuzz]="does any input make a parser panic?"
)
parts=(format shell lint doc deny manifests plane build test)
# Tests that cargo test leaves out because the machine may lack what they need are a part of their
# own: no test is left to nobody, but the model's large bounds, which take minutes and gigabytes.
for file in tests/*.rs crates/*/tests/*.rs; do
    name=$(basename "$file" .rs)
    grep -rqs '#\[ignore = "needs ' "$file" "${file%.rs}" && parts+=("$name")
    : "${asks[$name]:="the tests of $file that need more than cargo test has"}"
done
parts+=(fuzz)
# Three quarters of an hour of emulated machines, which are slow beside other work: by name only.
named=(vm-all)
# Tests with real etcd mostly wait. What only computes runs beside them, at the lowest priority, where both are
# wanted; it is shown and counted at its own place.
computes=(plane doc deny manifests fuzz)

usage() { sed -nE '2,/^set /{s/^# ?//p}' "${BASH_SOURCE[0]}"; }

limit=${ETCD_REJOIN_PART_SECONDS:-1800}
log=$(mktemp) said_beside=$(mktemp) beside_pid=
trap 'rm -f "$log" "$said_beside"; [ -z "$beside_pid" ] || pkill -s "$beside_pid"' EXIT
passed=0 failed=0
summary=() failures=() tried=()

# Runs a command with its output shown and kept in $log, and an end to it.
run() {
    printf '\n$ %s\n' "$*"
    # A function of this script needs a shell around it.
    if declare -F "$1" >/dev/null; then set -- bash -c '"$@"' bash "$@"; fi
    timeout --kill-after=20 "$limit" "$@" </dev/null 2>&1 | tee "$log"
    local code=${PIPESTATUS[0]}
    [ "$code" != 124 ] || say "no end after $limit seconds"
    return "$code"
}

pass() { passed=$((passed + $1)); }
fail() { failed=$((failed + 1)); failures+=("FAILED: $part: $1"); say "FAILED: $part: $1"; }

# One check: it counts as one.
check() {
    local what=$1
    shift
    if run "$@"; then pass 1; else fail "$what"; fi
}

# Test programs of Rust: each test counts as one.
tests() {
    local what=$1 code count name begun ended
    local -A why=()
    shift
    run "$@"
    code=$?
    count=$(sed -nE 's/^test result: .* ([0-9]+) passed; .*/\1/p' "$log" | paste -sd+)
    pass $((${count:-0}))
    # A program that was killed has no result, whatever became of the others.
    begun=$(grep -caE '^ +(Running|Doc-tests) ' "$log")
    ended=$(grep -ca '^test result: ' "$log")
    [ "$begun" -le "$ended" ] || fail "$what: $((begun - ended)) programs ended without a result"
    while read -r name; do
        why[$name]=$(last_words "$name")
    done < <(sed -nE 's/^test (.*) \.\.\. FAILED.*/\1/p' "$log")
    for name in "${!why[@]}"; do
        if [[ $what == "cargo test" && ${why[$name]} == after*"still not: "* && ${#why[@]} -le 2 ]]; then
            alone "$name" "${why[$name]}"
        else
            fail "$name: ${why[$name]}"
        fi
    done
    # Not built, killed, or gone without a word.
    if [ "$code" != 0 ] && [ ${#why[@]} = 0 ]; then fail "$what"; fi
}

# What a test died of, in one line.
last_words() {
    grep -aFA1 "thread '$1' " "$log" | sed -n '/ panicked at /{n;p;q}' | cut -c 1-300
}

# A test that has waited in vain, beside seven others with clusters of their own, may just have been slow. Once
# more, with nothing beside it; that is said at the end. Whatever else fails a test is final.
alone() {
    say "once more, alone: $1: $2"
    if run cargo test --locked --no-fail-fast -- --test-threads=1 --exact "$1" &&
        grep -qaF "test $1 ... ok" "$log"; then
        pass 1
        failures+=("PASSED ONLY ALONE: $part: $1: $2")
    else
        fail "$1: $2; and once more, alone: $(last_words "$1")"
    fi
}

# Begins these parts in a session of its own, at the lowest priority.
begin_beside() {
    setsid nice -n 19 "$root/tests/run.sh" "$@" >"$said_beside" 2>&1 </dev/null &
    beside_pid=$!
}

# Waits for what was begun beside the tests, shows it, and counts it.
end_beside() {
    [ -n "$beside_pid" ] || return 0
    local line begun=$SECONDS
    wait "$beside_pid"
    beside_pid=
    printf '\n== what ran beside the tests; waited for it: %d s\n' $((SECONDS - begun))
    cat "$said_beside"
    line=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$said_beside" | tail -n 1)
    [ -n "$line" ] || { part=beside fail "no result of: ${beside[*]}"; return; }
    pass "${line% *}"
    failed=$((failed + ${line#* }))
    mapfile -t -O "${#failures[@]}" failures < <(grep -aE '^FAILED: ' "$said_beside" | sort -u)
    mapfile -t -O "${#summary[@]}" summary < <(grep -aE '^[a-z-]+ +[0-9]+ passed +[0-9]+ failed +[0-9]+ s$' "$said_beside")
}

# What a part needs; without it the part counts as one failure.
need() {
    local what
    for what in "$@"; do
        case $what in
            rustfmt) cargo fmt --version >/dev/null 2>&1 || retry rustup component add rustfmt ;;
            clippy) cargo clippy --version >/dev/null 2>&1 || retry rustup component add clippy ;;
            cc) package cc gcc && package /usr/include/stdlib.h libc6-dev ;;
            shellcheck) package shellcheck ;;
            openssl) package openssl ;;
            systemd-analyze) package systemd-analyze systemd ;;
            docker-compose) package docker-compose ;;
            ip) package ip iproute2 ;;
            drbdadm) package /usr/sbin/drbdadm drbd-utils ;;
            keepalived) package /usr/sbin/keepalived keepalived ;;
            mkfs) package /usr/sbin/mkfs.ext4 e2fsprogs && package /usr/sbin/mkfs.xfs xfsprogs ;;
            mount) package losetup mount && package unshare util-linux ;;
            cargo-deny) need cc && crate cargo-deny 0.20.2 --no-default-features ;;
            mdbook) need cc && crate mdbook 0.5.4 --no-default-features ;;
            cargo-fuzz) need cc cxx && crate cargo-fuzz 0.13.2 ;;
            cxx) package c++ g++ ;;
            etcd) tests/setup/etcd.sh >/dev/null ;;
            s3) tests/setup/s3.sh >/dev/null ;;
            manifests) tests/setup/manifests.sh >/dev/null ;;
            zstd) package zstd ;;
            images) tests/setup/images.sh >/dev/null ;;
            kube) tests/setup/kube.sh >/dev/null ;;
            guests) tests/setup/vm.sh >/dev/null ;;
            *) say "no rule for $what"; false ;;
        esac || { fail "cannot get $what"; return 1; }
    done
}

part_format() { need rustfmt && check "not formatted" cargo fmt --check; }

part_shell() {
    local scripts
    mapfile -t scripts < <(find . \( -name target -o -name .git \) -prune -o -type f -print |
        sort | while read -r file; do
            case $file in *.sh) ;; *) head -c 64 "$file" | head -n 1 | tr -d '\0' |
                grep -qE '^#!.*\b(ba|da)?sh\b' || continue ;; esac
            printf '%s\n' "$file"
        done)
    need shellcheck && check "shellcheck" shellcheck -x "${scripts[@]}"
}

part_lint() { need cc clippy && check "clippy" cargo clippy --locked --all-targets -- -D warnings; }

part_doc() {
    need cc && RUSTDOCFLAGS="-D warnings" check "cargo doc" cargo doc --locked --no-deps
    need mdbook && check "the book does not build without a warning" book
}

# Builds the book; mdbook ends with 0 also where it warns. Its links are checked by tests/readme.rs.
book() {
    local out
    out=$(mdbook build docs 2>&1) || { say "$out"; return 1; }
    say "$out"
    ! grep -qE '^ *(WARN|ERROR)' <<<"$out"
}

part_deny() {
    need cargo-deny || return
    check "cargo fetch" retry cargo fetch --locked --quiet
    check "cargo deny" cargo deny --offline --locked check licenses bans sources
    check "a dependency without a reason in deny.toml" reasons
    check "PID 1 has an async runtime" synchronous
}

# PID 1 is synchronous: it asks a handful of peers, then becomes etcd. The runtime is the snapshot program's alone.
synchronous() {
    local tree
    tree=$(cargo tree --locked --offline --package etcd-rejoin --edges normal --prefix none) || return 1
    ! grep -E '^(tokio|hyper|tonic|object_store|zstd) v' <<<"$tree"
}

# Names each direct dependency that has no line in the head of deny.toml.
reasons() {
    local name missing=0
    while read -r name; do
        grep -qE "^#   $name +[^ ]" deny.toml || { say "no reason for $name"; missing=1; }
    done < <(awk '/^\[/ { on = /dependencies\]$/ } on && /^[a-z]/ { sub(/\..*/, "", $1); print $1 }' Cargo.toml crates/*/Cargo.toml | grep -v '^etcd-rejoin-' | sort -u)
    return "$missing"
}

part_manifests() {
    need manifests || return
    PATH=$cache/manifests/bin:$PATH check "manifests" "$cache/manifests/bin/python" tests/manifests.py
}

part_build() {
    need cc || return
    check "cargo build" cargo build --locked --release
    check "the program is not static" static
}

# The programs have no interpreter: they run in an image without a C library.
static() {
    local program
    for program in target/*/release/etcd-rejoin target/*/release/etcd-rejoin-snapshot; do
        if ldd "$program" 2>/dev/null | grep -q '=>'; then ldd "$program"; return 1; fi
        "$program" --version || return 1
    done
}

# Tests with real etcd wait more than they compute: four times as many as there are processors. What runs with the
# newest of Debian's (the modules `newest`) runs with each further etcd too.
part_test() {
    need cc openssl etcd s3 zstd drbdadm keepalived || return
    local -x RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((4 * $(nproc)))} ETCD_REJOIN_NEWEST=
    tests "cargo test" cargo test --locked --no-fail-fast
    tried=("$(version "$cache/etcd/bookworm")" "$(version "$cache/etcd/trixie")" "$(version "$cache/etcd/sid")")
    local dir dirs
    mapfile -t dirs < <(further)
    for dir in "${dirs[@]}"; do
        if ! version "$dir" >/dev/null; then fail "no etcd in $dir"; continue; fi
        say "once more, with etcd $(version "$dir") for the newest: $dir"
        ETCD_REJOIN_NEWEST=$dir
        tests "cargo test" cargo test --locked --no-fail-fast newest::
        tried+=("$(version "$dir")")
    done
}

# What the etcd of a folder says that it is.
version() { "$1/etcd" --version 2>/dev/null | sed -n 's/^etcd Version: //p' | grep .; }

# The folders of etcds other than Debian's, the oldest first, each once.
further() {
    local dir named
    IFS=: read -ra named <<<"${ETCD_REJOIN_ETCDS:-}"
    for dir in "$cache"/etcd/[0-9]*/; do
        [ -e "$dir" ] && named+=("$dir")
    done
    for dir in "${named[@]}"; do realpath -m "$dir"; done | sort -uV
}

part_container() {
    need cc images && tests container cargo test --locked --test container -- --ignored
}

part_mount() {
    need cc mkfs mount && tests mount cargo test --locked --test mount -- --ignored
}

part_examples() {
    need cc images docker-compose systemd-analyze openssl &&
        tests examples cargo test --locked --test examples -- --ignored --test-threads=1
}

part_plane() { check "the control plane does not build" tests/setup/kube.sh; }

# A test waits for the controllers, and for a cluster of its own: three at once.
part_kube() {
    need cc openssl etcd images kube &&
        tests kube cargo test --locked --test kube -- --ignored --test-threads=3 --show-output
}

part_netns() {
    need cc ip keepalived && tests netns cargo test --locked --test netns -- --ignored
}

# One pair of machines for all cases, one case at a time; they say how long each failover took.
machines() {
    need cc etcd guests &&
        tests vm cargo test --locked --test vm -- --ignored --show-output --test-threads=1 "$@"
}

# The ways that lose writes where they are done wrong, and the stops of every day: a quarter of an
# hour on an idle machine.
part_vm() {
    machines the_master_is_killed_and_returns a_rolling_restart_of_both a_standby_that_was_taken_down \
        half_a_resync a_cut_replication_link of_two_machines without_a_fence_command a_second_master \
        sigterm_leaves_it_secondary a_held_file a_killed_container an_orderly_rolling_restart \
        a_failed_disk
}

part_vm-all() {
    local limit=${ETCD_REJOIN_PART_SECONDS:-5400}
    machines
}

# A file of tests that nobody wrote a part for.
part_other() {
    need cc etcd ip && tests "$part" cargo test --locked --test "$part" -- --ignored
}

part_fuzz() {
    need cargo-fuzz || return
    local fuzz=(cargo fuzz) targets target out
    if rustup run nightly rustc --version >/dev/null 2>&1; then
        fuzz=(cargo +nightly fuzz)
    else
        export RUSTC_BOOTSTRAP=1
    fi
    if ! targets=$("${fuzz[@]}" list) || [ -z "$targets" ]; then fail "no fuzz targets"; return; fi
    # Built once; the programs are then run as they are, one on each processor.
    check "fuzz build" "${fuzz[@]}" build
    out=$(mktemp -d)
    # shellcheck disable=SC2016 # the inner shell expands them
    printf '%s\n' "$targets" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$1" >"$2/$1" 2>&1; echo $? >"$2/$1.code"' bash {} "$out"
    for target in $targets; do
        check "fuzz $target" said "$out/$target"
    done
    rm -r "$out"
    unset RUSTC_BOOTSTRAP
}

# One fuzz target, for as long as asked.
fuzz_one() {
    local corpus=("fuzz/corpus/$1") program
    mkdir -p "fuzz/corpus/$1" "fuzz/artifacts/$1"
    [ ! -d "fuzz/seeds/$1" ] || corpus+=("fuzz/seeds/$1")
    program=$(ls fuzz/target/*/release/"$1") || return
    "$program" -max_total_time="${ETCD_REJOIN_FUZZ_SECONDS:-60}" \
        -artifact_prefix="fuzz/artifacts/$1/" -print_final_stats=1 "${corpus[@]}"
}

# What a command has said, kept in a file, and how it ended.
said() {
    cat "$1"
    return "$(cat "$1.code")"
}

for arg in "$@"; do
    case $arg in
        -h | --help) usage; exit 0 ;;
        --list) for part in "${parts[@]}" "${named[@]}"; do printf '%-10s %s\n' "$part" "${asks[$part]}"; done; exit 0 ;;
        *) [[ " ${parts[*]} ${named[*]} " == *" $arg "* ]] || { say "no part $arg; there are: ${parts[*]} ${named[*]}"; exit 2; } ;;
    esac
done
[ $# -eq 0 ] || parts=("$@")

part=setup
if ! has cargo; then
    fail "cargo is missing: install Rust with rustup, see https://rustup.rs"
    parts=()
fi
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto} RUST_BACKTRACE=1
export -f book reasons static synchronous retry say fuzz_one said
beside=()
if [[ " ${parts[*]} " == *" test "* ]]; then
    for part in "${computes[@]}"; do [[ " ${parts[*]} " != *" $part "* ]] || beside+=("$part"); done
fi
for part in "${parts[@]}"; do
    [[ " ${beside[*]} " != *" $part "* ]] || continue
    case $part in
        test) [ ${#beside[@]} = 0 ] || begin_beside "${beside[@]}" ;;
        # Emulated machines starve beside other work.
        vm*) end_beside ;;
    esac
    printf '\n== %s: %s\n' "$part" "${asks[$part]}"
    before=$SECONDS passed_before=$passed failed_before=$failed
    if declare -F "part_$part" >/dev/null; then "part_$part"; else part_other; fi
    summary+=("$(printf '%-12s %5d passed %5d failed %6d s' "$part" $((passed - passed_before)) \
        $((failed - failed_before)) $((SECONDS - before)))")
done
end_beside

printf '\n== summary\n'
[ ${#summary[@]} = 0 ] || printf '%s\n' "${summary[@]}"
[ ${#tried[@]} = 0 ] || printf 'tried with etcd %s\n' "${tried[*]}"
[ ${#failures[@]} = 0 ] || printf '%s\n' "${failures[@]}"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
