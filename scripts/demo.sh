#!/usr/bin/env bash
# Starts a server with a data directory of its own, does with it what a first user would do, and removes
# all of it. Ctrl-C at any point leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

mos=${MOSAIC_BIN:-$PWD/target/release/mos}
folder=$(mktemp -d)
server=
cleanup() {
    trap - EXIT INT TERM
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold= plain=; fi

# A command line as one would type it: words that a shell would not take as they are stand in quotes.
typed() {
    local word line= quote=\'
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=,@%+-]* | '') word=$quote${word//$quote/$quote\\$quote$quote}$quote ;;
        esac
        line+=" $word"
    done
    printf '%s' "${line# }"
}
# Shows a command line and runs it.
show() {
    printf '\n%s$ %s%s\n' "$bold" "$(typed "$@")" "$plain"
    "$@"
}
# The same for one that is meant to fail.
show_refused() {
    printf '\n%s$ %s%s\n' "$bold" "$(typed "$@")" "$plain"
    if "$@"; then
        echo "demo: this should have been refused" >&2
        exit 1
    fi
}
# Runs a command and notes in `took` how long that was.
timed() {
    local from=$EPOCHREALTIME
    "$@"
    took=$(awk -v from="$from" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.2f s", to - from }')
}

port=6443
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done

start_server() {
    "$mos" server --data-dir "$folder/data" --listen "127.0.0.1:$port" >>"$folder/log" 2>&1 &
    server=$!
    until [ -s "$folder/data/admin.kubeconfig" ] &&
        "$mos" get namespaces >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
        sleep 0.02
    done
}

export KUBECONFIG=$folder/data/admin.kubeconfig
echo "${bold}1. A server${plain}: one process, one file"
printf '%s$ mos server --data-dir DIR --listen 127.0.0.1:%s%s\n' "$bold" "$port" "$plain"
timed start_server
started=$took
grep -m 1 " ready " "$folder/log"

if kubectl=$(scripts/tools.sh kubectl-1.37 2>/dev/null); then
    kubectl() { command "$kubectl" "$@"; }
else
    echo "(kubectl could not be fetched: mos does its part)"
    kubectl() { "$mos" "$@"; }
fi
mos() { command "$mos" "$@"; }

printf '\n%s2. A business unit%s: a namespace that is held to a quota\n' "$bold" "$plain"
show kubectl apply -f examples/business-unit.yaml
show kubectl -n shop get resourcequotas,limitranges

printf '\n%s3. A service%s: applied, shown and scaled (nothing runs its pods yet)\n' "$bold" "$plain"
show kubectl -n shop apply --server-side -f examples/web.yaml
show kubectl -n shop scale deployment web --replicas=5
show kubectl -n shop get deployments,services,configmaps

printf '\n%s4. A kind of your own%s, with defaults, columns and validation\n' "$bold" "$plain"
show kubectl apply -f examples/custom-kind.yaml
until mos get queues >/dev/null 2>&1; do sleep 0.05; done
show kubectl -n shop apply -f examples/custom-object.yaml
show kubectl -n shop get queues
show_refused kubectl -n shop patch queue orders --type=merge -p '{"spec": {"workers": 1000}}'

printf '\n%s5. Who may do what%s\n' "$bold" "$plain"
show kubectl auth whoami
show_refused kubectl -n shop get secrets --as=stranger

printf '\n%s6. The same without kubectl%s\n' "$bold" "$plain"
show mos -n shop get deployments

printf '\n%s7. A power cut%s: what was acknowledged is there afterwards\n' "$bold" "$plain"
before=$(kubectl get -n shop deployments,queues,configmaps -o name | sort)
printf '\n%s$ kill -9 SERVER%s\n' "$bold" "$plain"
kill -9 "$server"
wait "$server" 2>/dev/null || true
timed start_server
restarted=$took
show kubectl -n shop get deployments,queues
after=$(kubectl get -n shop deployments,queues,configmaps -o name | sort)
[ "$before" = "$after" ] || { echo "demo: objects are missing after the restart" >&2; exit 1; }

memory=$(awk '/VmRSS/ { printf "%.0f MB", $2 / 1024 }' "/proc/$server/status")
cat <<END

  what                        result
  first start to ready        $started
  start after the power cut   $restarted
  memory of the server        $memory
  objects lost                none

Next:
  target/release/mos server --data-dir ./data --listen 127.0.0.1:6443
  KUBECONFIG=./data/admin.kubeconfig kubectl get all -A     # or target/release/mos get …
  docs/quickstart.md                                        # the same, step by step
END
