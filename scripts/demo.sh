#!/usr/bin/env bash
# Starts a server and a thousand simulated hosts, runs a service of three thousand on them, rolls it out anew, cuts the
# power, loses hosts and a machine room, and removes all of it. Ctrl-C at any point leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

mos=${MOSAIC_BIN:-$PWD/target/release/mos}
folder=$(mktemp -d)
server=
hosts=
cleanup() {
    trap - EXIT INT TERM
    for process in $hosts $server; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
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
# Notes in `took` how long it is since `from`, in seconds.
since() { took=$(awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'); }

port=6443
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done

# Hosts renew their leases every 3 s here, and count as lost after 12 s without; usual are 10 s and 40 s.
start_server() {
    "$mos" server --data-dir "$folder/data" --listen "127.0.0.1:$port" --registry-listen none \
        --node-monitor-grace-period 12s >>"$folder/log" 2>&1 &
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
from=$EPOCHREALTIME
start_server
since "$from"
started=$took
grep -m 1 " ready " "$folder/log"

if kubectl=$(scripts/tools.sh kubectl-1.37 2>/dev/null); then
    kubectl() { command "$kubectl" "$@"; }
else
    echo "(kubectl could not be fetched: mos does its part)"
    kubectl() { "$mos" "$@"; }
fi
mos() { command "$mos" "$@"; }

# A number in the service's status.
count() {
    local number
    number=$(kubectl get deployment catalogue -o "jsonpath={.status.$1}" 2>/dev/null) || true
    printf '%s' "${number:-0}"
}
hosts_that_are() { kubectl get nodes --no-headers 2>/dev/null | awk -v state="$1" '$2 == state' | wc -l; }
pods_by_room() {
    join <(kubectl get nodes --no-headers -L topology.kubernetes.io/zone | awk '{ print $1, $NF }' | sort) \
        <(kubectl get pods --no-headers -l app=catalogue -o wide | awk '$3 == "Running" { print $7 }' | sort) |
        awk '{ pods[$2]++ } END { for (room in pods) print "  " room ": " pods[room] " pods" }' | sort
}
# Waits until a command succeeds, and shows what another one says meanwhile, if there is a terminal.
wait_until() {
    local what=$1 says=$2
    shift 2
    until "$@"; do
        kill -0 "$server" 2>/dev/null || { tail "$folder/log" >&2; exit 1; }
        if [ -t 2 ]; then printf '\r\e[K  %s: %s' "$what" "$(eval "$says")" >&2; fi
        sleep 0.2
    done
    if [ -t 2 ]; then printf '\r\e[K' >&2; fi
}

printf '\n%s2. A thousand hosts%s in three machine rooms, simulated: all but the containers is real\n' "$bold" "$plain"
printf '%s$ mos sim hosts --count 1000 --zones 3%s\n' "$bold" "$plain"
from=$EPOCHREALTIME
"$mos" sim hosts --count 1000 --zones 3 --lease-interval 3s >"$folder/hosts" 2>&1 &
hosts=$!
all_hosts_are_there() { [ "$(hosts_that_are Ready)" = 1000 ]; }
wait_until "hosts that are ready" 'hosts_that_are Ready' all_hosts_are_there
since "$from"
registered=$took
echo "1000 hosts are ready"

printf '\n%s3. A service of three thousand%s\n' "$bold" "$plain"
from=$EPOCHREALTIME
show kubectl apply -f examples/fleet.yaml
show mos rollout status deployment/catalogue --timeout 5m
since "$from"
deployed=$took
pods_by_room
show mos why "$(kubectl get pods -l app=catalogue -o name | head -n 1 | cut -d/ -f2)"

printf '\n%s4. A new version, and a power cut in the middle of it%s\n' "$bold" "$plain"
from=$EPOCHREALTIME
show kubectl set image deployment/catalogue catalogue=catalogue:2
halfway() { [ "$(count updatedReplicas)" -ge 1000 ]; }
wait_until "new pods" 'count updatedReplicas' halfway
printf '\n%s$ kill -9 SERVER%s, and start it again\n' "$bold" "$plain"
kill -9 "$server"
wait "$server" 2>/dev/null || true
cut=$EPOCHREALTIME
start_server
since "$cut"
restarted=$took
show mos rollout status deployment/catalogue --timeout 5m
since "$from"
rolled=$took
show kubectl get deployment,replicasets

printf '\n%s5. Twenty hosts die%s\n' "$bold" "$plain"
dead=$(kubectl get nodes -l topology.kubernetes.io/zone=zone-1 --no-headers | awk 'NR <= 20 { print $1 }')
printf '%s$ kubectl annotate node sim-1 sim-10 … mosaic/sim=down%s\n' "$bold" "$plain"
# shellcheck disable=SC2086 # names, one word each
kubectl annotate node $dead mosaic/sim=down >/dev/null
all_are_lost() { [ "$(hosts_that_are NotReady)" = 20 ]; }
wait_until "hosts that are silent for 12 s" 'hosts_that_are NotReady' all_are_lost
from=$EPOCHREALTIME
echo "20 hosts are lost"
all_are_back() { [ "$(count readyReplicas)" -ge 3000 ]; }
pods_on_others() {
    kubectl get pods -l app=catalogue --no-headers -o wide |
        awk -v dead="$dead" 'BEGIN { split(dead, names); for (i in names) lost[names[i]] = 1 }
            $2 == "1/1" && $3 == "Running" && !($7 in lost)' | wc -l
}
all_are_replaced() { [ "$(pods_on_others)" -ge 3000 ] && all_are_back; }
wait_until "pods that serve" pods_on_others all_are_replaced
since "$from"
replaced=$took
echo "3000 pods serve again, on other hosts"

printf '\n%s6. A machine room is cut off%s: a third of all hosts falls silent at once\n' "$bold" "$plain"
printf '%s$ kubectl annotate node -l topology.kubernetes.io/zone=zone-3 mosaic/sim=silent%s\n' "$bold" "$plain"
room=(-l topology.kubernetes.io/zone=zone-3)
kubectl annotate node "${room[@]}" mosaic/sim=silent >/dev/null
silent=$(kubectl get nodes "${room[@]}" --no-headers | wc -l)
room_is_lost() { [ "$(hosts_that_are NotReady)" -ge $((20 + silent)) ]; }
wait_until "hosts that are silent for 12 s" 'hosts_that_are NotReady' room_is_lost
kept=$(count readyReplicas)
echo "$silent hosts are lost, $kept pods serve. That is a cable more likely than $silent dead hosts: for five minutes nothing is moved."
echo "The cable is plugged in again:"
printf '%s$ kubectl annotate node -l topology.kubernetes.io/zone=zone-3 mosaic/sim-%s\n' "$bold" "$plain"
before=$(kubectl get pods -l app=catalogue -o name | sort)
from=$EPOCHREALTIME
kubectl annotate node "${room[@]}" mosaic/sim- >/dev/null
wait_until "pods that serve" 'count readyReplicas' all_are_back
since "$from"
reunited=$took
after=$(kubectl get pods -l app=catalogue -o name | sort)
moved=$(comm -3 <(printf '%s\n' "$before") <(printf '%s\n' "$after") | wc -l)
pods_by_room

memory=$(awk '/VmRSS/ { printf "%.0f MB", $2 / 1024 }' "/proc/$server/status")
processor=$(ps -o cputimes= -p "$server" | tr -d ' ')
cat <<END

  what                                                 result
  server: first start to ready                         $started s
  1,000 hosts: registered and ready                    $registered s
  3,000 pods: from the manifest to all of them ready   $deployed s
  server: start after the power cut                    $restarted s
  new version of 3,000 pods, with the power cut        $rolled s
  20 dead hosts: pods serve again, after it is noticed $replaced s
  machine room cut off: pods moved                     $moved
  machine room is plugged in again: pods serve again   $reunited s
  server: memory, processor time since the power cut   $memory, $processor s
END
cat <<'END'

Next:
  target/release/mos server --data-dir ./data --listen 127.0.0.1:6443
  KUBECONFIG=./data/admin.kubeconfig kubectl get all -A     # or target/release/mos get …
  docs/quickstart.md                                        # step by step
  docs/simulation.md                                        # hosts and pods that misbehave
END
