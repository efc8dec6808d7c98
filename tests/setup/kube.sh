#!/usr/bin/env bash
# Builds a Kubernetes control plane of Debian's source package, once: API server, controllers, scheduler. kubectl comes
# ready-made. Nothing is installed; Go is unpacked beside the system for the time of the build.
#
# Usage: tests/setup/kube.sh [DIR]
#   DIR gets kube-apiserver, kube-controller-manager, kube-scheduler, kubectl.
#   Default: $ETCD_REJOIN_CACHE, else ~/.cache/etcd-rejoin, with /kube behind it.
#
# Four minutes on two idle processors, 2 GB of disk on the way. The mirror is the machine's own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/setup/lib.sh
. "$here/lib.sh"
dir=${1:-$cache/kube}
# The newest suite that has the whole source: later ones have kubectl alone.
suite=bookworm
# Raised when the recipe changes: what an older one made is then made again.
recipe=1
programs=(kube-apiserver kube-controller-manager kube-scheduler)

made() { [ "$(cat "$dir/recipe" 2>/dev/null)" = "$recipe" ]; }
if made; then printf '%s\n' "$dir"; exit 0; fi
for program in apt-get dpkg flock; do has "$program" || die "$program is missing"; done
package dpkg-source dpkg-dev || die "no dpkg-source"
package xz xz-utils || die "no xz"

mkdir -p "$dir"
exec 9>"$dir/lock"
flock -w 1500 9 || die "another one builds it for too long: $dir/lock"
if made; then printf '%s\n' "$dir"; exit 0; fi
# Always the same folder: what is compiled names it.
rm -rf "$dir"/work*
work=$dir/work
mkdir "$work"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

uri=$(mirror)
mkdir -p "$work"/{lists/partial,archives/partial,debs,root}
printf '%s %s %s main\n' deb "$uri" "$suite" deb-src "$uri" "$suite" > "$work/sources.list"
apt=(apt-get -q -o Dpkg::Use-Pty=0
    -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache::archives=$work/archives" -o APT::Sandbox::User=root
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
say "getting Kubernetes of Debian $suite, once"
retry "${apt[@]}" "${fresh[@]}" update >&2
cd "$work/debs"
retry "${apt[@]}" download golang-1.19-go golang-1.19-src kubernetes-client >&2
retry "${apt[@]}" source --download-only "kubernetes/$suite" >&2
for deb in *.deb; do dpkg -x "$deb" "$work/root"; done
source=$work/go/src/k8s.io/kubernetes
mkdir -p "$(dirname "$source")"
dpkg-source --no-check -x kubernetes_*.dsc "$source" >"$work/log" 2>&1 || { tail "$work/log" >&2; die "cannot unpack it"; }

# Not inside a module, and nothing from the network: all it needs is in vendor/. What is compiled stays until all is:
# a build that was stopped goes on.
export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/go GOCACHE=$dir/cache GOTMPDIR=$work GOFLAGS=
export GO111MODULE=off GOPROXY=off CGO_ENABLED=0
cd "$source"
build() { "$GOROOT/bin/go" build -p 2 -tags providerless "$@" >&2; }

# The tarball lacks one generated file.
say "building the control plane, once (minutes)"
build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen || die "cannot build openapi-gen"
described() {
    { grep -rl --include=*.go '+k8s:openapi-gen=' pkg cmd plugin
      grep -rl --include=*.go '+k8s:openapi-gen=' staging/src | sed 's,^staging/src/,vendor/,'; } |
        grep -vE '/(testdata|_examples|examples)/|_test\.go$' | xargs -n 1 dirname | sort -u |
        sed 's,^,k8s.io/kubernetes/,' | paste -sd,
}
"$work/openapi-gen" --input-dirs "$(described)" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --output-file-base zz_generated.openapi --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
    --report-filename "$work/report" >&2 || die "cannot describe the API"

at=k8s.io/kubernetes/vendor/k8s.io/component-base/version
version=$(dpkg-parsechangelog -S Version | sed -nE 's/.*really([0-9.]+)-.*/\1/p')
[ -n "$version" ] || die "which version is $(dpkg-parsechangelog -S Version)?"
mkdir -p "$work/bin"
build -ldflags "-s -w -X $at.gitVersion=v$version -X $at.gitMajor=1 -X $at.gitMinor=20" -o "$work/bin/" \
    "${programs[@]/#/./cmd/}" || die "cannot build the control plane"
cp "$work/root/usr/bin/kubectl" "$work/bin/"
mv "$work"/bin/* "$dir/"
rm -rf "$dir/cache"
printf '%s\n' "$recipe" > "$dir/recipe"
say "Kubernetes: $("$dir/kube-apiserver" --version), $(du -sh "$dir" | cut -f1)"
printf '%s\n' "$dir"
