#!/usr/bin/env bash
# What a partition does, with real network namespaces: four nodes, each in its own, on one bridge; then node 3 alone with a client on another.
# Needs root, iproute2, and the program kv (KV_PROGRAM, default target/release/kv).
set -euo pipefail
kv=$(realpath "${KV_PROGRAM:-$(dirname "$0")/target/release/kv}")
work=$(mktemp -d)
tag=kv$$
pids=()

clean() {
    [ "${#pids[@]}" -eq 0 ] || kill -9 "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    for name in 0 1 2 3 a b; do ip netns del "$tag$name" 2>/dev/null || true; done
    ip link del "${tag}x" 2>/dev/null || true
    ip link del "${tag}y" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

member() { # member NAME ADDRESS: a namespace with one interface on the first bridge
    ip netns add "$tag$1"
    ip link add "$tag$1" type veth peer name eth0 netns "$tag$1"
    ip link set "$tag$1" master "${tag}x" up
    ip netns exec "$tag$1" ip address add "$2/24" dev eth0
    ip netns exec "$tag$1" ip link set eth0 up
    ip netns exec "$tag$1" ip link set lo up
}

say() { printf '\n# %s\n' "$*"; }
as() { # as NAME COMMAND…: in that member's namespace, showing it
    local name=$1
    shift
    printf '%s$ kv %s\n' "$name" "$*"
    ip netns exec "$tag$name" env KV_CLUSTER="$work/c/cluster.toml" KV_KEY="$work/c/client$([ "$name" = a ] && echo 0 || echo 1).key" KV_TIMEOUT=6 KV_LOG=error "$kv" "$@" 2>&1 || echo "(exit $?)"
}

ip link add "${tag}x" type bridge
ip link add "${tag}y" type bridge
ip link set "${tag}x" up
ip link set "${tag}y" up
"$kv" init "$work/c" --clients 2 >/dev/null
for number in 0 1 2 3; do
    sed -i "s/127.0.0.1:740$number/10.74.0.1$number:7400/" "$work/c/cluster.toml"
    member "$number" "10.74.0.1$number"
done
member a 10.74.0.20
member b 10.74.0.21
for number in 0 1 2 3; do
    ip netns exec "$tag$number" "$kv" serve --cluster "$work/c/cluster.toml" --key "$work/c/node$number.key" --data "$work/c/node$number" 2>"$work/log$number" &
    pids+=($!)
done
sleep 2

say "All four nodes are on one network; a and b are clients."
as a put color blue
as b get color

say "Node 3 and client b are cut off from the others."
ip link set "${tag}3" master "${tag}y"
ip link set "${tag}b" master "${tag}y"
sleep 5

say "The majority goes on."
as a put color green
as a get color

say "The minority writes nothing, and reads nothing as if it were true."
as b put color red
as b get color --stale 3
as b status

say "The network is whole again. What b had pending is executed once, under its old number; node 3 catches up."
ip link set "${tag}3" master "${tag}x"
ip link set "${tag}b" master "${tag}x"
sleep 8
as a get color
as b resume
as a get color
sleep 1
as a status
