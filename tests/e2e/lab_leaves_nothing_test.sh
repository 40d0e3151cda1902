#!/bin/bash
# The lab leaves the machine as it found it: after `down`, after a killed `up`, with two labs side
# by side, with frozen containers inside. Needs root. Other labs may run meanwhile.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
lab_dir=${CRYOPOD_LAB_DIR:-/var/lib/cryopod-lab}
names="leaves-v1-$$ leaves-v2-$$"
work=$(mktemp -d)
checks=0

lab() {
  CRYOPOD_LAB_NAME=leaves-$1-$$ timeout -s KILL 180 "$repository/hack/lab" "${@:2}"
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

check() {
  local sentence=$1
  shift
  "$@" || fail "$sentence"
  checks=$((checks + 1))
}

cleanup() {
  local name
  for name in $names; do
    CRYOPOD_LAB_NAME=$name timeout -s KILL 120 "$repository/hack/lab" down >/dev/null 2>&1 || true
  done
  rm -rf "$work"
}
trap cleanup EXIT

# Everything of this machine that a lab could leave, without what belongs to labs of other names.
snapshot() {
  local process
  sed 's/^/mount: /' /proc/mounts
  ip netns list | sed 's/^/network namespace: /'
  ip -o link show | sed 's/^[0-9]*: \([^:]*\):.*/link: \1/'
  { find /sys/fs/cgroup -name 'cryopod-lab.*' | grep -F -- "-$$." || true; } | sed 's/^/cgroup: /'
  find "$lab_dir/labs" -mindepth 1 -maxdepth 1 -name "leaves-*-$$*" -printf 'folder: %p\n'
  for process in /proc/[0-9]*; do
    if belongs_to_our_labs "$process"; then
      echo "process: $process $(tr '\0' ' ' <"$process/cmdline")"
    fi
  done
}

# By its cgroup, by its mounts, or by the environment that it was started with. A zombie holds
# nothing any more, and waits for the machine's init alone.
belongs_to_our_labs() {
  grep -qs '^State:.*zombie' "$1/status" && return 1
  grep -qsE "leaves-v[12]-$$" "$1/cgroup" "$1/mountinfo" ||
    grep -qszE "^CRYOPOD_LAB_NAME=leaves-v[12]-$$\$" "$1/environ"
}

# What was killed may take a moment to end.
machine_is_as_before() {
  local deadline=$((SECONDS + 10))
  until snapshot >"$work/after" && diff "$work/before" "$work/after" >"$work/difference"; do
    if [ $SECONDS -ge $deadline ]; then
      cat "$work/difference" >&2
      return 1
    fi
    sleep 0.2
  done
}

start_container() {
  local version=$1 node=$2 runtime=/usr/sbin/runc
  [ "$version" = v1 ] || runtime=/usr/local/sbin/runc-lab
  lab "$version" exec "$node" timeout -s KILL 30 ctr -n k8s.io run --detach --runc-binary $runtime \
    lab.local/busybox:1 witness /bin/sh -c 'while sleep 0.1; do :; done'
}

container_runs() {
  lab "$1" exec "$2" timeout -s KILL 30 ctr -n k8s.io task ls | grep -q 'witness.*RUNNING'
}

freeze_container() {
  lab "$1" exec "$2" sh -c '
    for state in /sys/fs/cgroup/freezer/k8s.io/witness/freezer.state; do
      [ ! -e $state ] || { echo FROZEN >$state; exit; }
    done
    echo 1 >/sys/fs/cgroup/k8s.io/witness/cgroup.freeze'
}

containers_have_cgroups_of_their_own() {
  local found
  found=$(find /sys/fs/cgroup -path "*cryopod-lab.leaves-$1-$$.*/k8s.io/witness/cgroup.procs" \
    -size 0 -exec grep -l . {} + | grep -o "leaves-$1-$$\.[ab]" | sort -u | wc -l)
  [ "$found" = 2 ]
}

two_labs_side_by_side() {
  local version node
  for version in v1 v2; do
    lab $version up --cgroup $version --prefix "$work"
    for node in a b; do
      start_container $version $node
      check "a container runs on node $node ($version)" container_runs $version $node
    done
    check "nodes of a lab do not share a container's cgroup ($version)" \
      containers_have_cgroups_of_their_own $version
    check "node a reaches node b ($version)" \
      lab $version exec a timeout -s KILL 5 busybox ping -q -c 1 node-b >/dev/null
  done
  for version in v1 v2; do
    freeze_container $version a
    check "a second up of a lab that stands keeps its containers ($version)" \
      lab $version up --cgroup $version --prefix "$work"
    check "the container on b still runs ($version)" container_runs $version b
  done
  check "the first lab ends while a container is frozen" lab v1 down
  check "the second lab is not disturbed by the end of the first" container_runs v2 b
  check "one node ends alone" lab v2 down a
  check "the other node is not disturbed" container_runs v2 b
  check "the second lab ends" lab v2 down
  check "a second down is fine" lab v2 down
  check "the machine is as before" machine_is_as_before
}

killed_up_is_cleaned() {
  local delay=$1 next=$2 pid
  CRYOPOD_LAB_NAME=leaves-v1-$$ setsid "$repository/hack/lab" up --cgroup v1 >"$work/up.log" 2>&1 &
  pid=$!
  sleep "$delay"
  check "an up is not done after $delay s" kill -KILL $pid
  wait $pid 2>/dev/null || true
  if [ "$next" = up ]; then
    check "an up after one killed at $delay s works" lab v1 up --cgroup v1 --nodes 1
    check "its node answers" lab v1 exec a true
  fi
  check "down works after an up killed at $delay s" lab v1 down
  check "the machine is as before, after an up killed at $delay s and $next" machine_is_as_before
}

node_behaves() {
  local answer=0 kind
  lab v2 up --cgroup v2 --nodes 1
  snapshot >"$work/while_up"
  for kind in process cgroup folder; do
    check "a lab that is up is seen as a $kind" grep -q "^$kind: " "$work/while_up"
  done
  lab v2 exec a sh -c 'exit 7' || answer=$?
  check "exec gives the exit code" [ $answer = 7 ]
  check "exec passes stdio" [ "$(echo word | lab v2 exec a cat)" = word ]
  lab v2 exec a sh -c 'echo kept >/root/file; echo lost >/run/file'
  lab v2 reboot a
  check "a reboot keeps the disk" [ "$(lab v2 exec a cat /root/file)" = kept ]
  check "a reboot empties /run" lab v2 exec a test ! -e /run/file
  lab v2 copy a:/root/file "$work/file"
  lab v2 copy "$work/file" a:/root/folder/file
  check "copy goes out and in" [ "$(lab v2 exec a cat /root/folder/file)" = kept ]
  { CRYOPOD_LAB_NAME=leaves-v2-$$ timeout -s KILL 1 "$repository/hack/lab" exec a sleep 7654; } \
    2>/dev/null || true
  check "a command dies with its caller" lab v2 exec a sh -c '! pgrep -f "sleep 7654" | grep -v $$'
  lab v2 containerd a kill
  check "a killed containerd comes back" lab v2 exec a timeout -s KILL 5 ctr version >/dev/null
  lab v2 down
  check "the machine is as before" machine_is_as_before
}

"$repository/hack/lab" root
mkdir -p "$lab_dir/labs"
snapshot >"$work/before"
node_behaves
delays="0.05 0.1 0.15 0.2 0.3 0.4 0.6 0.8"
[ -z "${CRYOPOD_SHORT_TESTS:-}" ] || delays="0.1 0.3 0.6"
for delay in $delays; do
  killed_up_is_cleaned $delay up
  killed_up_is_cleaned $delay down
done
two_labs_side_by_side
[ -n "${CRYOPOD_SHORT_TESTS:-}" ] || two_labs_side_by_side
echo "lab leaves nothing: $checks checks passed"
