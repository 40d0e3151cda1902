# The nodes' cgroups, seen from the machine. Sourced by hack/lab.

# Prints "TYPE OPTIONS MOUNTPOINT" of every cgroup hierarchy that the machine has mounted; TYPE is
# cgroup or cgroup2, OPTIONS what a mount of the same version 1 hierarchy needs.
cgroup_hierarchies() {
  awk '
    {
      for (i = 7; i <= NF && $i != "-"; i++) {}
      type = $(i + 1); n = split($(i + 3), option, ",")
      if (type != "cgroup" && type != "cgroup2") next
      options = ""
      for (j = 1; j <= n; j++)
        if (option[j] !~ /^(rw|ro|xattr|noprefix|clone_children|release_agent=.*)$/)
          options = options "," (option[j] ~ /^name=/ ? "none," : "") option[j]
      options = type == "cgroup2" ? "-" : substr(options, 2)
      if (!seen[type options]++) print type, options, $5
    }' /proc/self/mountinfo
}

cgroup_unified_mountpoint() {
  cgroup_hierarchies | awk '$1 == "cgroup2" { print $3; exit }'
}

# Prints the directories of one node of this lab, or of the whole lab when no node is named.
cgroup_directories() {
  local mountpoint directory
  while read -r _ _ mountpoint; do
    for directory in "$mountpoint/cryopod-lab.$lab_name."${1:-*}; do
      [ ! -d "$directory" ] || echo "$directory"
    done
  done < <(cgroup_hierarchies)
}

# Prints the names of the labs that have a cgroup on this machine.
cgroup_list_all_labs() {
  local mountpoint directory
  while read -r _ _ mountpoint; do
    for directory in "$mountpoint"/cryopod-lab.*.*; do
      [ ! -d "$directory" ] || basename "$directory" | cut -d. -f2
    done
  done < <(cgroup_hierarchies) | sort -u
}

# A new cgroup in every hierarchy. A version 1 cpuset is unusable until it has processors.
cgroup_make() {
  local name=cryopod-lab.$lab_name.$1 type options mountpoint key
  while read -r type options mountpoint; do
    mkdir -p "$mountpoint/$name"
    if [ "$type" = cgroup2 ]; then
      # Processes live in a leaf: where version 2 has controllers, a cgroup with processes of its
      # own cannot hand them down to the containers.
      mkdir -p "$mountpoint/$name/init"
    elif [[ ,$options, == *,cpuset,* ]]; then
      for key in cpus mems; do
        cat "$mountpoint/cpuset.$key" >"$mountpoint/$name/cpuset.$key"
      done
    fi
  done < <(cgroup_hierarchies)
}

# Moves process $2 into the cgroups of node $1. Done before its cgroup namespace is made, they
# become the roots that the node sees; with "enter", the process goes where the node's daemons are.
cgroup_join() {
  local directory
  while read -r directory; do
    [ "${3:-}" != enter ] || [ ! -d "$directory/init" ] || directory=$directory/init
    echo "$2" >"$directory/cgroup.procs"
  done < <(cgroup_directories "$1")
}

# Starts a command in the background, inside the cgroups of node $1, with its output in file $2; its
# process number is $!. It holds the lab's lock (descriptor 9) until it is inside: a run that comes
# after a kill at this very moment must not miss it.
cgroup_launch() {
  local node=$1 log=$2
  shift 2
  # shellcheck disable=SC2016  # expanded by the new shell
  setsid bash -c '
    set -e
    . "$1/cgroups.sh"; lab_name=$2 node=$3; shift 3
    cgroup_join "$node" $BASHPID
    grep -q "/cryopod-lab\.$lab_name\.$node\$" /proc/self/cgroup
    exec 9>&-
    exec "$@"' _ "$parts" "$lab_name" "$node" "$@" </dev/null >"$log" 2>&1 &
  disown
}

# Ends whatever lives in the cgroups of one node, or of the whole lab, and removes them. Bounded.
cgroup_end() {
  local node=${1:-} directories round
  for round in {1..300}; do
    directories=$(cgroup_directories "$node")
    [ -n "$directories" ] || return 0
    # shellcheck disable=SC2086  # names have no blanks: lab and node names are checked
    cgroup_kill_and_remove $directories
    [ "$round" -lt 5 ] || sleep 0.1
  done
  die "these cgroups do not become empty: $(cgroup_directories "$node" | tr '\n' ' ')"
}

cgroup_kill_and_remove() {
  local directory file pid
  for directory in "$@"; do
    if [ -e "$directory/cgroup.kill" ]; then
      echo 1 >"$directory/cgroup.kill" 2>/dev/null || true
    fi
    # A version 1 freezer keeps even killed processes until it is thawed.
    find "$directory" -name freezer.state 2>/dev/null | while read -r file; do
      echo THAWED >"$file" 2>/dev/null || true
    done
    find "$directory" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u |
      while read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true
      done
    find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
