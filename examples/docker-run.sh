#!/usr/bin/env bash
# The `docker run` story: three members; one loses container and volume; the same words bring it back.
#
# Usage: examples/docker-run.sh
#   IMAGE=NAME        take this image; default: `etcd-rejoin`, built from docker/Dockerfile if missing
#   ETCD_IMAGE=NAME   build it on this etcd image; default: the one that docker/Dockerfile names
# Everything that it makes carries the name $NAME (default etcd-rejoin-example) and is removed at the end.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image=${IMAGE:-etcd-rejoin}
name=${NAME:-etcd-rejoin-example}

if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "building $image; this takes minutes, once"
    docker build -f "$root/docker/Dockerfile" -t "$image" ${ETCD_IMAGE:+--build-arg ETCD_IMAGE="$ETCD_IMAGE"} "$root"
fi

clean_up() {
    docker rm --force "$name"-{n1,n2,n3} >/dev/null 2>&1 || true
    docker volume rm "$name"-{n1,n2,n3} >/dev/null 2>&1 || true
    docker network rm "$name" >/dev/null 2>&1 || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

docker network create "$name" >/dev/null

run() {
    docker run --detach --name "$name-$1" --network "$name" --restart always \
        --volume "$name-$1:/var/lib/etcd" \
        --env ETCD_NAME="$1" \
        --env ETCD_INITIAL_CLUSTER="n1=http://$name-n1:2380,n2=http://$name-n2:2380,n3=http://$name-n3:2380" \
        --env ETCD_INITIAL_ADVERTISE_PEER_URLS="http://$name-$1:2380" \
        --env ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380 \
        --env ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379 \
        --env ETCD_ADVERTISE_CLIENT_URLS="http://$name-$1:2379" \
        "$image" >/dev/null
}

etcdctl() {
    local member=$1
    shift
    docker exec --env ETCDCTL_API=3 "$name-$member" etcdctl "$@"
}

healthy() {
    for _ in $(seq 300); do
        if etcdctl "$1" endpoint health >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "$1 is not healthy after a minute; it said:" >&2
    docker logs --tail 20 "$name-$1" >&2
    return 1
}

echo "three members"
for member in n1 n2 n3; do run "$member"; done
for member in n1 n2 n3; do healthy "$member"; done
etcdctl n1 member list
for i in 1 2 3 4 5; do etcdctl n1 put "key/$i" "value $i" >/dev/null; done

echo "n3 loses its container and its volume"
docker rm --force "$name-n3" >/dev/null
docker volume rm "$name-n3" >/dev/null

echo "the same docker run again"
run n3
healthy n3
etcdctl n1 member list
echo "n3 holds: $(etcdctl n3 get key/ --prefix --keys-only --consistency=s | grep . | paste -sd' ')"
