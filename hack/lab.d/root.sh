# The root file system of all nodes. Sourced by hack/lab.

# Debian's forky is the first release whose containerd, runc and CRIU are what Kubernetes nodes of
# today run.
root_suite=forky
root_packages=(
  containerd runc crun criu podman containernetworking-plugins skopeo docker-registry checkpointctl
  iproute2 iptables nftables procps ca-certificates jq python3 busybox-static zstd attr strace
)

# Builds the root unless the one at hand was made from this very list. Built aside and renamed when
# complete: what a killed build left is thrown away by the next.
lab_root() {
  local stamp root=$lab_dir/root
  stamp=$(echo "$root_suite ${root_packages[*]}" | sha256sum | cut -d' ' -f1)
  mkdir -p "$lab_dir"
  exec 8>"$lab_dir/root.lock"
  flock -w 900 8 || die "another run has been building the root for 15 minutes"
  if [ "$(cat "$root/.lab-stamp" 2>/dev/null)" != "$stamp" ]; then
    lab_require_programs
    lab_build_root "$root" "$stamp"
  fi
  exec 8>&-
}

lab_build_root() {
  local root=$1 stamp=$2 mirror
  lab_export_apt_proxy
  lab_remove_old_roots
  while read -r mirror; do
    say "building the nodes' root ($root_suite), about a minute"
    rm -rf --one-file-system "$root.partial"
    if lab_debootstrap "$root.partial" "$mirror" "$lab_dir/root.log" "${root_packages[@]}"; then
      rm -rf "$root.partial/var/cache/apt/archives" "$root.partial/var/lib/apt/lists"
      echo "$stamp" >"$root.partial/.lab-stamp"
      [ ! -e "$root" ] || mv "$root" "$root.old.$$"
      mv "$root.partial" "$root"
      lab_remove_old_roots
      return
    fi
  done < <(lab_mirrors)
  die "no Debian archive of this machine's apt sources gave a root; see $lab_dir/root.log"
}

# lab_debootstrap TARGET MIRROR LOG [PACKAGE...]
lab_debootstrap() {
  local target=$1 mirror=$2 log=$3 include
  shift 3
  include=$(
    IFS=,
    echo "$*"
  )
  # Debian 12 has no script for a release so young; all of them are sid's.
  # In namespaces of its own: what it mounts and starts cannot outlive a kill.
  bounded 900 unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    debootstrap --variant=minbase ${include:+--include="$include"} "$root_suite" "$target" \
    "$mirror" /usr/share/debootstrap/scripts/sid >"$log" 2>&1 </dev/null
}

# A running node still reads from the root that it was started on.
lab_remove_old_roots() {
  local old
  [ -z "$(cgroup_list_all_labs)" ] || return 0
  for old in "$lab_dir"/root.old.*; do
    [ ! -e "$old" ] || rm -rf --one-file-system "$old"
  done
}
