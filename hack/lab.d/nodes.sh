# Nodes: their disk, their namespaces, how to find and to enter them. Sourced by hack/lab.

node_dir() {
  echo "$this_lab/nodes/$1"
}

# The process that is PID 1 in the node, or nothing. A number read from a file could belong to
# anybody by now, so it must also live in the node's cgroup.
node_pid() {
  local pid
  pid=$(cat "$(node_dir "$1")/pid" 2>/dev/null) || return 0
  if grep -qs "/cryopod-lab\.$lab_name\.$1\(/\|\$\)" "/proc/$pid/cgroup"; then
    echo "$pid"
  fi
}

node_require() {
  local pid
  [[ $1 =~ ^[a-z]$ ]] || die "'$1' is no node: nodes are a, b, …"
  pid=$(node_pid "$1")
  [ -n "$pid" ] || die "node $1 is not up"
  echo "$pid"
}

# Files of the node that differ from the root's, written into the upper layer before it is mounted.
node_write_files() {
  local node=$1 upper other
  upper=$(node_dir "$node")/upper
  mkdir -p "$upper"/etc/{cni/net.d,containerd} \
    "$upper"/usr/{local/sbin,libexec/lab} "$upper"/{opt,root,var/log}
  echo "node-$node" >"$upper/etc/hostname"
  {
    echo "127.0.0.1 localhost"
    for other in $lab_nodes; do echo "$(network_address "$other") node-$other"; done
  } >"$upper/etc/hosts"
  : >"$upper/etc/resolv.conf"
  node_runtime_files "$upper"
  [ "$lab_prefix" = none ] || node_handler_files "$upper"
  sed "s|@pod_subnet@|$(network_pod_subnet "$node")|" "$parts/node/10-lab.conflist" \
    >"$upper/etc/cni/net.d/10-lab.conflist"
  cp "$images_dir/prlimit_shim.so" "$parts"/node/{init,agent,gateway} "$upper/usr/libexec/lab/"
  # Whoever calls criu, by whatever path, gets the one with the shim.
  cp --preserve=mode "$lab_dir/root/usr/sbin/criu" "$upper/usr/libexec/lab/criu"
  mkdir -p "$upper/usr/sbin"
  cp "$parts/node/criu" "$upper/usr/sbin/criu"
}

node_runtime_files() {
  local upper=$1 runtime=/usr/sbin/runc
  if [ "$lab_cgroup" = v2 ]; then
    runtime=/usr/local/sbin/runc-lab
    cp "$parts/node/runc-lab" "$upper/usr/local/sbin/runc-lab"
  fi
  sed "s|@runtime@|$runtime|" "$parts/node/containerd.toml" >"$upper/etc/containerd/config.toml"
}

# What an installation of cryopod adds.
node_handler_files() {
  local upper=$1
  mkdir -p "$upper"/etc/{containerd/conf.d,cryopod} "$upper/opt/cryopod"
  cp "$repository/manifests/containerd/cryopod.toml" "$upper/etc/containerd/conf.d/"
  sed -i '/^version/a imports = ["/etc/containerd/conf.d/*.toml"]' \
    "$upper/etc/containerd/config.toml"
  if [ "$lab_cgroup" = v2 ]; then
    echo "runtime=/usr/local/sbin/runc-lab" >"$upper/etc/cryopod/runtime.conf"
  fi
}

node_start() {
  local node=$1 dir pid launcher deadline
  dir=$(node_dir "$node")
  mkdir -p "$dir"/{upper,work,root,disk/containerd,disk/cryopod}
  rm -f "$dir/pid"
  node_write_files "$node"
  cgroup_make "$node"
  # `unshare --fork` stays outside and waits for the node; it dies with the node's cgroup.
  cgroup_launch "$node" "$dir/setup.log" \
    unshare --mount --propagation private --pid --fork --uts --ipc --net --cgroup -- \
    bash "$parts/node/setup" "$dir" "$lab_dir/root" "$lab_cgroup" "$lab_prefix" "node-$node" \
    "$(cgroup_hierarchies)"
  launcher=$!
  deadline=$((SECONDS + 20))
  until pid=$(node_find_init "$launcher") && [ -n "$pid" ]; do
    if [ ! -e "/proc/$launcher" ] || [ $SECONDS -ge $deadline ]; then
      die "node $node does not come up: $(tail -n 3 "$dir/setup.log")"
    fi
    sleep 0.02
  done
  echo "$pid" >"$dir/pid.partial"
  mv "$dir/pid.partial" "$dir/pid"
  # Where version 2 has controllers, no process may be left in the node's root cgroup.
  cgroup_join "$node" "$launcher" enter
  network_connect "$node" "$pid"
}

# The child of the launcher that has become the node's init, which says so by its name.
node_find_init() {
  local child
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
    [ "$(cat "/proc/$child/comm" 2>/dev/null)" != init ] || echo "$child"
  done
}

# Becomes a command in node $1: all namespaces, the node's cgroups, this process's stdio. The
# command dies with the caller: a test that gives up must not leave it running.
node_enter() {
  local node=$1 pid
  shift
  pid=$(node_require "$node")
  cgroup_join "$node" $BASHPID enter
  exec nsenter --target "$pid" --all -- /usr/libexec/lab/init enter "$@"
}

node_exec() {
  (node_enter "$@")
}

# Waits until containerd answers; then it has all test images.
node_wait_ready() {
  local node=$1 deadline=$((SECONDS + 30)) images
  until node_exec "$node" timeout -s KILL 5 ctr version >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      node_exec "$node" tail -n 3 /var/log/containerd.log >&2
      die "containerd of node $node does not answer within 30 s"
    fi
    sleep 0.05
  done
  images=$(basename "$images_dir")
  if [ "$(cat "$(node_dir "$node")/images" 2>/dev/null)" != "$images" ]; then
    node_exec "$node" timeout -s KILL "$step_timeout_s" ctr -n k8s.io images import - \
      <"$images_dir/images.tar" >"$(node_dir "$node")/import.log" 2>&1 ||
      die "node $node does not take the test images: $(tail -n 3 "$(node_dir "$node")/import.log")"
    echo "$images" >"$(node_dir "$node")/images"
  fi
}

# Ends node $1; with "forget", its disk goes too.
node_stop() {
  cgroup_end "$1"
  rm -f "$(node_dir "$1")/pid"
  [ "${2:-}" != forget ] || rm -rf --one-file-system "$(node_dir "$1")"
}
