# The network between the nodes: a bridge in a network namespace of the lab's own, so that the
# machine's interfaces stay as they are. Sourced by hack/lab.

# Nodes are "a", "b", …: the number gives addresses. Every lab uses the same ones; labs cannot meet.
network_index() {
  printf '%d' "$(($(printf '%d' "'$1") - 96))"
}

network_address() {
  echo "10.77.0.$((10 + $(network_index "$1")))"
}

network_pod_subnet() {
  echo "10.88.$(network_index "$1").0/24"
}

# The namespace lives as long as this sleeping process, which is a "node" to the cgroup part.
network_start_switch() {
  [ -z "$(network_switch_pid)" ] || return 0
  cgroup_make switch
  cgroup_launch switch "$this_lab/switch.log" unshare --net sleep infinity
  local deadline=$((SECONDS + 10))
  until [ -n "$(network_switch_pid)" ]; do
    [ $SECONDS -lt $deadline ] || die "the network namespace of the lab does not come up"
    sleep 0.02
  done
  network_in_switch ip link add bridge0 type bridge
  network_in_switch ip link set bridge0 up
}

# The switch's process, once it has its own network namespace; nothing otherwise.
network_switch_pid() {
  local directory pid
  for directory in $(cgroup_directories switch | head -n 1); do
    pid=$(head -n 1 "$directory/cgroup.procs" 2>/dev/null) || true
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sleep ]; then
      echo "$pid"
    fi
  done
}

network_in_switch() {
  bounded "$step_timeout_s" nsenter --net --target "$(network_switch_pid)" -- "$@"
}

network_in_node() {
  local pid=$1
  shift
  bounded "$step_timeout_s" nsenter --net --target "$pid" -- "$@"
}

# Plugs node $1, whose init is process $2, into the bridge, and tells it where the pods of the
# others are.
network_connect() {
  local node=$1 pid=$2 other
  network_in_switch ip link add name "node-$node" type veth peer name eth0 netns "$pid"
  network_in_switch ip link set "node-$node" master bridge0 up
  network_in_node "$pid" ip link set lo up
  network_in_node "$pid" ip address add "$(network_address "$node")/24" dev eth0
  network_in_node "$pid" ip link set eth0 up
  for other in $lab_nodes; do
    [ "$other" = "$node" ] || network_in_node "$pid" ip route add \
      "$(network_pod_subnet "$other")" via "$(network_address "$other")"
  done
}
