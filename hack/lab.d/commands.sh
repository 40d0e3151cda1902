# The commands of hack/lab that are not about one daemon. Sourced by hack/lab.

# One run at a time changes this lab. Nodes must not inherit the lock: they outlive the run. `down`
# removes the file at its end, so a run that has waited may hold what is no lock any more.
lab_lock() {
  local file=$labs_dir/$lab_name.lock
  mkdir -p "$labs_dir"
  until [ "$file" -ef /proc/self/fd/9 ]; do
    exec 9>"$file"
    flock -w 300 9 || die "another run has been changing this lab for 5 minutes"
  done
}

# Settings of the lab that stands: lab_cgroup, lab_nodes, lab_prefix.
lab_read_settings() {
  lab_cgroup='' lab_nodes='' lab_prefix=''
  # shellcheck source=/dev/null
  [ ! -r "$this_lab/settings" ] || . "$this_lab/settings"
}

lab_up() {
  local cgroup='' count=2 prefix='' node started=$SECONDS
  [ ! -d "$repository/build/release/stage" ] || prefix=$repository/build/release/stage
  while [ $# -gt 0 ]; do
    case $1 in
      --cgroup) cgroup=${2:-} ;;
      --nodes) count=${2:-} ;;
      --prefix)
        prefix=${2:-}
        [ "$prefix" = none ] || prefix=$(readlink -f "$prefix")
        ;;
      *) die "up does not know '$1'" ;;
    esac
    [ $# -ge 2 ] || die "$1 needs a value"
    shift 2
  done
  lab_check_options "$cgroup" "$count" "$prefix"
  lab_lock
  lab_root 9>&-
  lab_images 9>&-
  lab_settle
  network_start_switch
  for node in $lab_nodes; do
    [ -n "$(node_pid "$node")" ] || node_start "$node"
  done
  for node in $lab_nodes; do
    node_wait_ready "$node"
  done
  : >"$this_lab/ready"
  say "nodes $lab_nodes up, cgroup $lab_cgroup, ${lab_prefix:-no cryopod}, $((SECONDS - started)) s"
}

# Sets wanted_settings. The folder's number stands for its content: a prefix that was installed anew
# is another folder under the old name.
lab_check_options() {
  local cgroup=$1 count=$2 prefix=$3 nodes='' identity='' letters=abcdefghi i
  if [ -z "$cgroup" ]; then
    cgroup=v2
    ! cgroup_hierarchies | grep -q '^cgroup .*freezer' || cgroup=v1
  fi
  [[ $count =~ ^[1-9]$ ]] || die "--nodes $count: 1 to 9"
  for ((i = 0; i < count; i++)); do
    nodes+=${nodes:+ }${letters:i:1}
  done
  case $cgroup in
    v1) cgroup_hierarchies | grep -q '^cgroup .*freezer' ||
      die "--cgroup v1: this machine has no version 1 freezer mounted" ;;
    v2) [ -n "$(cgroup_unified_mountpoint)" ] ||
      die "--cgroup v2: this machine has no version 2 hierarchy mounted" ;;
    *) die "--cgroup $cgroup: v1 or v2" ;;
  esac
  if [ -n "$prefix" ] && [ "$prefix" != none ]; then
    [ -d "$prefix" ] || die "--prefix $prefix: no such directory"
    identity=$(stat -c %d:%i "$prefix")
  fi
  wanted_settings="lab_cgroup=$cgroup lab_nodes='$nodes' lab_prefix=$(printf %q "$prefix") \
prefix_identity=$(printf %q "$identity")"
}

# A lab that was brought up to the end with the same settings stays; all else is cleared away.
lab_settle() {
  if [ -e "$this_lab/ready" ] && [ "$(cat "$this_lab/settings")" = "$wanted_settings" ]; then
    lab_read_settings
    return
  fi
  cgroup_end
  rm -rf --one-file-system "$this_lab"
  mkdir -p "$this_lab/nodes"
  echo "$wanted_settings" >"$this_lab/settings"
  lab_read_settings
}

lab_down() {
  [ $# -le 1 ] || die "usage: hack/lab down [NODE]"
  lab_lock
  if [ $# = 1 ]; then
    [[ $1 =~ ^[a-z]$ ]] || die "'$1' is no node: nodes are a, b, …"
    node_stop "$1" forget
    return
  fi
  cgroup_end
  rm -rf --one-file-system "$this_lab"
  rm -f "$labs_dir/$lab_name.lock"
}

lab_reboot() {
  [ $# = 1 ] || die "usage: hack/lab reboot NODE"
  node_require "$1" >/dev/null
  lab_lock
  lab_read_settings
  lab_images 9>&-
  node_stop "$1"
  node_start "$1"
  node_wait_ready "$1"
}

lab_exec() {
  [ $# -ge 2 ] || die "usage: hack/lab exec NODE COMMAND..."
  node_enter "$@"
}

# Through tar: the nodes' paths are resolved by processes that see nothing but the node.
lab_copy() {
  [ $# = 2 ] || die "usage: hack/lab copy [NODE:]PATH [NODE:]PATH"
  local from=$1 to=$2 name
  name=$(basename "${from#*:}")
  lab_at "$from" tar -C "$(dirname "${from#[a-z]:}")" -cf - -- "$name" |
    lab_at "$to" sh -c '
      set -e
      if [ -d "$1" ]; then exec tar -C "$1" -xf -; fi
      mkdir -p "$(dirname "$1")"
      aside=$(mktemp -d "$(dirname "$1")/.copy.XXXXXX")
      trap "rm -rf \"$aside\"" EXIT
      tar -C "$aside" -xf -
      mv "$aside/$2" "$1"' _ "${to#[a-z]:}" "$name"
}

# Runs a command where the path $1 is: in a node, or here.
lab_at() {
  local where=$1
  shift
  if [[ $where =~ ^[a-z]: ]]; then
    node_exec "${where%%:*}" "$@"
  else
    "$@"
  fi
}

lab_status() {
  local node pid agent
  lab_read_settings
  if [ -z "$lab_nodes" ]; then
    echo "lab $lab_name is not up"
    return
  fi
  echo "lab $lab_name: cgroup $lab_cgroup, cryopod ${lab_prefix:-not there}"
  for node in $lab_nodes; do
    pid=$(node_pid "$node")
    if [ -z "$pid" ]; then
      echo "node $node: down"
      continue
    fi
    agent=$(agent_pid "$node")
    echo "node $node: up, process $pid, $(network_address "$node")," \
      "pods $(network_pod_subnet "$node"), agent ${agent:-not running}"
  done
}
