#!/usr/bin/env bash
# Records what real etcd answers, for tests/gateway.rs: every call, and every refusal that we type.
#
# Usage: tests/setup/record-gateway.sh [SUITE..]
#   SUITE is a folder that tests/setup/etcd.sh made (bookworm, trixie, sid; all three by default), or one
#   of another etcd beside them.
#
# Writes tests/fixtures/gateway/VERSION/NAME.txt: the request, its body, `----`, then status, headers
# and body of the reply, `no reply` or `closed`. Needs curl and openssl; listens on 127.41.0.0/16 only.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
cache=${ETCD_REJOIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/etcd-rejoin}
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie sid)

tmp=$(mktemp -d)
declare -A pid=()
# What curl needs to be let in.
tls=()

stop_all() {
    local name
    for name in "${!pid[@]}"; do
        kill -9 "${pid[$name]}" 2>/dev/null || true
        wait "${pid[$name]}" 2>/dev/null || true
    done
    pid=()
}
trap 'stop_all; rm -rf "$tmp"' EXIT

# start NAME IP SCHEME ARGS..: runs etcd under this name.
start() {
    local name=$1 ip=$2 scheme=$3
    shift 3
    "$etcd" --name "$name" --data-dir "$tmp/$version/$name" \
        --listen-peer-urls "http://$ip:2380" --initial-advertise-peer-urls "http://$ip:2380" \
        --listen-client-urls "$scheme://$ip:2379" --advertise-client-urls "$scheme://$ip:2379" \
        "$@" >>"$tmp/$name.log" 2>&1 &
    pid[$name]=$!
}

stop() {
    kill -9 "${pid[$1]}" 2>/dev/null || true # A removed member ends by itself.
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

# until COMMAND..: up to 30 s.
wait_until() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "never happened: $*" >&2
    tail -qn 1 "$tmp"/*.log >&2
    return 1
}

healthy() { curl -skf --max-time 2 "${tls[@]}" "$1/health" | grep -q true; }

# ask URL PATH BODY [CURL ARGS..]: the body of a call that must succeed.
ask() {
    local url=$1 path=$2 body=$3
    shift 3
    curl -skf --max-time 20 -X POST -d "$body" "$@" "$url$path"
}

# record NAME URL METHOD PATH BODY [CURL ARGS..]
record() {
    local file=$out/$1.txt url=$2 method=$3 path=$4 body=$5 raw=$tmp/raw
    shift 5
    local data=() failed=0
    [ "$method" = POST ] && data=(-d "$body")
    : >"$raw"
    curl -sk -D "$raw.head" -o "$raw" --max-time "${patience:-20}" -X "$method" "${data[@]}" \
        "$@" "$url$path" || failed=$?
    {
        printf '%s %s\n%s\n----\n' "$method" "$path" "$body"
        case $failed in
        0)
            tr -d '\r' <"$raw.head" | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'
            # Up to the empty line: what follows are trailers.
            tr -d '\r' <"$raw.head" | sed -n '1,/^$/{/^\(Content-Type\|X-Etcd-\|Trailer\)/Ip}'
            echo
            cat "$raw"
            ;;
        28) echo 'no reply' ;;
        52 | 56) echo 'closed' ;;
        *) echo "curl cannot ask $url$path: $failed" >&2 && return 1 ;;
        esac
    } >"$file"
}

id_of() { # id_of LIST NAME_OR_URL: the ID of the member whose entry has this word.
    printf '%s' "$1" | sed 's/{"ID"/\n{"ID"/g' | grep -F "$2" | sed -n 's/.*"ID":"\([0-9]*\)".*/\1/p' | tail -n 1
}

three_members() {
    local a=127.41.$net.1 b=127.41.$net.2 c=127.41.$net.3 d=127.41.$net.4
    local u1=http://$a:2379 u2=http://$b:2379 u4=http://$d:2379
    local cluster="n1=http://$a:2380,n2=http://$b:2380,n3=http://$c:2380"
    local args=(--initial-cluster-token three --initial-cluster "$cluster") list n2 n4
    local m=/v3/cluster/member

    start n1 "$a" http "${args[@]}"
    wait_until curl -sf "http://$a:2380/members"
    record peer-members-fresh "http://$a:2380" GET /members ''
    record peer-version-fresh "http://$a:2380" GET /version ''
    patience=1 record list-before-quorum "$u1" POST $m/list '{}'
    patience=1 record health-before-quorum "$u1" GET /health ''

    start n2 "$b" http "${args[@]}"
    start n3 "$c" http "${args[@]}"
    wait_until healthy "$u1"
    record add-unhealthy "$u1" POST $m/add "{\"peerURLs\":[\"http://$d:2380\"],\"isLearner\":true}"
    wait_until healthy "$u2"
    wait_until healthy "http://$c:2379"
    record list "$u1" POST $m/list '{}'
    record list-linearizable "$u1" POST $m/list '{"linearizable":true}'
    record range "$u1" POST /v3/kv/range '{"count_only":true,"key":"AA=="}'
    record status "$u1" POST /v3/maintenance/status '{}'
    record health "$u1" GET /health ''
    record version "$u1" GET /version ''
    record peer-members "http://$a:2380" GET /members ''
    list=$(ask "$u1" $m/list '{}')
    n2=$(id_of "$list" '"n2"')

    # The add works once the members have been connected for 5 s.
    wait_until ask "$u1" $m/add "{\"peerURLs\":[\"http://$d:2380\"],\"isLearner\":true}"
    n4=$(id_of "$(ask "$u1" $m/list '{}')" "$d:2380")
    ask "$u1" $m/remove "{\"ID\":\"$n4\"}" >/dev/null
    sleep 1 # The same URLs in the same second make the same ID, which was removed.
    record add-learner "$u1" POST $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$d:2380\"]}"
    record add-id-exists "$u1" POST $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$d:2380\"]}"
    record add-url-exists "$u1" POST $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$b:2380\"]}"
    record add-too-many-learners "$u1" POST $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$d:2390\"]}"
    record add-invalid-url "$u1" POST $m/add '{"isLearner":false,"peerURLs":["nonsense"]}'
    record add-no-url "$u1" POST $m/add '{"isLearner":false,"peerURLs":[]}'
    record remove-not-found "$u1" POST $m/remove '{"ID":"1"}'
    record update-not-found "$u1" POST $m/update "{\"ID\":\"1\",\"peerURLs\":[\"http://$d:2390\"]}"
    record promote-not-found "$u1" POST $m/promote '{"ID":"1"}'
    record promote-not-learner "$u1" POST $m/promote "{\"ID\":\"$n2\"}"
    n4=$(id_of "$(ask "$u1" $m/list '{}')" "$d:2380")
    record promote-not-in-sync "$u1" POST $m/promote "{\"ID\":\"$n4\"}"
    record update-url-exists "$u1" POST $m/update "{\"ID\":\"$n4\",\"peerURLs\":[\"http://$b:2380\"]}"
    record update "$u1" POST $m/update "{\"ID\":\"$n2\",\"peerURLs\":[\"http://$b:2380\"]}"
    record list-unstarted "$u1" POST $m/list '{}'
    record peer-members-unstarted "http://$a:2380" GET /members ''

    start n4 "$d" http --initial-cluster-state existing --initial-cluster "$cluster,n4=http://$d:2380"
    wait_until healthy "$u4"
    record learner-list "$u4" POST $m/list '{}'
    record learner-range "$u4" POST /v3/kv/range '{"count_only":true,"key":"AA=="}'
    record learner-status "$u4" POST /v3/maintenance/status '{}'
    record learner-health "$u4" GET /health ''
    record learner-promote "$u4" POST $m/promote "{\"ID\":\"$n4\"}"
    record peer-members-learner "http://$a:2380" GET /members ''
    wait_until promoted "$u1" "$n4"
    record remove "$u1" POST $m/remove "{\"ID\":\"$n4\"}"
    stop n4
    sleep 1
    record add-voter "$u1" POST $m/add "{\"isLearner\":false,\"peerURLs\":[\"http://$d:2380\"]}"
    n4=$(id_of "$(ask "$u1" $m/list '{}')" "$d:2380")
    ask "$u1" $m/remove "{\"ID\":\"$n4\"}" >/dev/null
    # An update forgets that a member is a learner, in the member list only.
    sleep 1
    n4=$(id_of "$(ask "$u1" $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$d:2380\"]}")" "$d:2380")
    record update-learner "$u1" POST $m/update "{\"ID\":\"$n4\",\"peerURLs\":[\"http://$d:2380\"]}"
    record promote-updated-learner "$u1" POST $m/promote "{\"ID\":\"$n4\"}"
    ask "$u1" $m/remove "{\"ID\":\"$n4\"}" >/dev/null

    stop n2
    stop n3
    wait_until status_says "$u1" 'no leader'
    record lost-list "$u1" POST $m/list '{}'
    record lost-list-linearizable "$u1" POST $m/list '{"linearizable":true}'
    record lost-range "$u1" POST /v3/kv/range '{"count_only":true,"key":"AA=="}'
    record lost-status "$u1" POST /v3/maintenance/status '{}'
    record lost-health "$u1" GET /health ''
    record lost-peer-members "http://$a:2380" GET /members ''
    record lost-add "$u1" POST $m/add "{\"isLearner\":true,\"peerURLs\":[\"http://$d:2380\"]}"
    patience=9 record lost-remove "$u1" POST $m/remove "{\"ID\":\"$n2\"}"
    stop_all
}

promoted() { # Records the first promote that works.
    record promote "$1" POST /v3/cluster/member/promote "{\"ID\":\"$2\"}"
    grep -qx 200 "$out/promote.txt"
}

status_says() { ask "$1" /v3/maintenance/status '{}' | grep -q "$2"; }

token_of() {
    ask "$1" /v3/auth/authenticate "{\"name\":\"$2\",\"password\":\"secret\"}" "${tls[@]}" |
        sed -n 's/.*"token":"\([^"]*\)".*/\1/p'
}

auth_on() {
    local user
    for user in root plain; do
        ask "$1" /v3/auth/user/add "{\"name\":\"$user\",\"password\":\"secret\"}" "${tls[@]}" >/dev/null
    done
    ask "$1" /v3/auth/role/add '{"name":"root"}' "${tls[@]}" >/dev/null
    ask "$1" /v3/auth/user/grant '{"user":"root","role":"root"}' "${tls[@]}" >/dev/null
    ask "$1" /v3/auth/enable '{}' "${tls[@]}" >/dev/null
}

one_member_with_auth() {
    local a=127.41.$net.5 m=/v3/cluster/member root plain id add auth=/v3/auth/authenticate
    local u=http://$a:2379
    start one "$a" http --initial-cluster-token one --initial-cluster "one=http://$a:2380"
    wait_until healthy "$u"
    id=$(id_of "$(ask "$u" $m/list '{}')" '"one"')
    record remove-last "$u" POST $m/remove "{\"ID\":\"$id\"}"
    record authenticate-off "$u" POST $auth '{"name":"root","password":"secret"}'
    auth_on "$u"
    root=$(token_of "$u" root)
    plain=$(token_of "$u" plain)
    add="{\"isLearner\":true,\"peerURLs\":[\"http://$a:2390\"]}"
    record authenticate "$u" POST $auth '{"name":"root","password":"secret"}'
    record authenticate-bad "$u" POST $auth '{"name":"root","password":"wrong"}'
    record auth-list-anonymous "$u" POST $m/list '{"linearizable":true}'
    record auth-range-anonymous "$u" POST /v3/kv/range '{"count_only":true,"key":"AA=="}'
    record auth-status-anonymous "$u" POST /v3/maintenance/status '{}'
    record auth-add-anonymous "$u" POST $m/add "$add"
    record auth-list-bad-token "$u" POST $m/list '{"linearizable":true}' -H 'Authorization: no.1'
    record auth-range-bad-token "$u" POST /v3/kv/range '{"count_only":true,"key":"AA=="}' -H 'Authorization: no.1'
    record auth-add-bad-token "$u" POST $m/add "$add" -H 'Authorization: no.1'
    record auth-list-plain "$u" POST $m/list '{"linearizable":true}' -H "Authorization: $plain"
    record auth-range-plain "$u" POST /v3/kv/range '{"count_only":true,"key":"AA=="}' -H "Authorization: $plain"
    record auth-add-plain "$u" POST $m/add "$add" -H "Authorization: $plain"
    record auth-list-root "$u" POST $m/list '{"linearizable":true}' -H "Authorization: $root"
    record auth-range-root "$u" POST /v3/kv/range '{"count_only":true,"key":"AA=="}' -H "Authorization: $root"
    record auth-peer-members "http://$a:2380" GET /members ''
    stop_all
}

one_member_without_gateway() {
    local a=127.41.$net.6
    start off "$a" http --initial-cluster-token off --initial-cluster "off=http://$a:2380" \
        --enable-grpc-gateway=false
    wait_until healthy "http://$a:2379"
    record off-list "http://$a:2379" POST /v3/cluster/member/list '{}'
    record off-version "http://$a:2379" GET /version ''
    record off-health "http://$a:2379" GET /health ''
    stop_all
}

# certificate NAME CN EKU: signed by our CA, for every address that we listen on.
certificate() {
    local dir=$tmp/certs name=$1 cn=$2 usage=$3
    printf 'subjectAltName=IP:127.41.%s.7,IP:127.41.%s.8\nextendedKeyUsage=%s\n' "$net" "$net" "$usage" >"$dir/$name.ext"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=test$cn" \
        -keyout "$dir/$name.key" -out "$dir/$name.csr" 2>/dev/null
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
        -days 2 -extfile "$dir/$name.ext" -out "$dir/$name.crt" 2>/dev/null
}

one_member_with_tls() {
    local a=127.41.$net.7 b=127.41.$net.8 dir=$tmp/certs tls=()
    rm -rf "$dir" && mkdir "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
        -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
    certificate server '' serverAuth,clientAuth
    certificate one-way '' serverAuth
    certificate named /CN=somebody clientAuth
    certificate nameless '' clientAuth
    local trust=(--client-cert-auth --trusted-ca-file "$dir/ca.crt")

    start tls "$a" https --initial-cluster-token tls --initial-cluster "tls=http://$a:2380" \
        --cert-file "$dir/server.crt" --key-file "$dir/server.key" "${trust[@]}"
    tls=(--cert "$dir/nameless.crt" --key "$dir/nameless.key")
    wait_until healthy "https://$a:2379"
    record http-to-https "http://$a:2379" POST /v3/cluster/member/list '{}'
    auth_on "https://$a:2379"
    tls=(--cert "$dir/named.crt" --key "$dir/named.key")
    record cn-list "https://$a:2379" POST /v3/cluster/member/list '{}' "${tls[@]}"
    record cn-authenticate "https://$a:2379" POST /v3/auth/authenticate '{"name":"root","password":"secret"}' "${tls[@]}"
    record cn-health "https://$a:2379" GET /health '' "${tls[@]}"

    start one-way "$b" https --initial-cluster-token b --initial-cluster "one-way=http://$b:2380" \
        --cert-file "$dir/one-way.crt" --key-file "$dir/one-way.key" "${trust[@]}"
    wait_until healthy "https://$b:2379"
    record one-way-list "https://$b:2379" POST /v3/cluster/member/list '{}' "${tls[@]}"
    record one-way-health "https://$b:2379" GET /health '' "${tls[@]}"
    stop_all
}

net=0
for suite in "${suites[@]}"; do
    etcd=$cache/etcd/$suite/etcd
    [ -x "$etcd" ] || { echo "no $etcd: run tests/setup/etcd.sh" >&2; exit 1; }
    version=$("$etcd" --version | sed -n 's/^etcd Version: //p')
    net=$((net + 1))
    out=$here/fixtures/gateway/$version
    rm -rf "$out" && mkdir -p "$out" "$tmp/$version"
    echo "recording $version" >&2
    three_members
    one_member_with_auth
    one_member_without_gateway
    one_member_with_tls
done
