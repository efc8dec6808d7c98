#!/usr/bin/env bash
# Fetches what renders and validates manifests for Kubernetes: Debian's kustomize, and two packages for Python.
#
# Usage: tests/setup/manifests.sh
#   $ETCD_REJOIN_CACHE, else ~/.cache/etcd-rejoin, gets the folder manifests: an environment of Python with all of it in
#   its bin. Installs nothing but, where it is missing, Python itself.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"
# 1.37.0 has the schemas of Kubernetes 1.25 to 1.37. The other one is Helm's own library.
packages=(kubernetes-validate==1.37.0 helm-python-sdk==0.2.2)
dir=$cache/manifests

if [ "$(cat "$dir/is" 2>/dev/null)" != "${packages[*]}" ]; then
    package python3
    python3 -c 'import ensurepip' 2>/dev/null || package /usr/share/doc/python3-venv python3-venv
    rm -rf "$dir"
    python3 -m venv "$dir"
    retry "$dir/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
    # Of the first suite that has it: its program runs on older ones too.
    unpack trixie "$dir/kustomize" kustomize
    mv "$dir/kustomize/usr/bin/kustomize" "$dir/bin/"
    rm -r "$dir/kustomize"
    printf '%s\n' "${packages[*]}" >"$dir/is"
fi
printf '%s\n' "$dir"
