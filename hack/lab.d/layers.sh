# Root file systems of Debian packages, for images of programs that are not ours. Sourced by hack/lab.

# What every such image begins with. Raised when lab_strip_base or lab_build_base changes.
base_version=1
base_user=foreign base_uid=1000

# Prints the folders of an image with these Debian packages, the lowest first: what all images begin
# with, and what the packages add to it (with overlayfs' marks for what they remove).
lab_layers() {
  local packages layer stamp
  packages=$(printf '%s\n' "$@" | sed '/^$/d' | sort -u | tr '\n' ' ')
  [[ $packages =~ ^[A-Za-z0-9.+:\ -]*$ ]] || die "these are no names of Debian packages: $packages"
  lab_base_layer
  echo "$lab_dir/layers/base"
  [ -n "$packages" ] || return 0
  stamp=$(echo "$(cat "$lab_dir/layers/base.stamp") $packages" | sha256sum | cut -c1-16)
  layer=$lab_dir/layers/$stamp
  exec 8>"$lab_dir/layers/lock"
  flock -w 600 8 || die "another run has been installing packages for 10 minutes"
  if [ ! -e "$layer" ]; then
    say "installing for an image: $packages"
    # shellcheck disable=SC2086  # a list of names
    lab_install_layer "$layer.partial" $packages
    mv "$layer.partial/upper" "$layer"
    rm -rf --one-file-system "$layer.partial"
  fi
  exec 8>&-
  echo "$layer"
}

# Built aside and renamed when complete. Its stamp comes last: layers are made for one base.
lab_base_layer() {
  local base=$lab_dir/layers/base stamp="$root_suite $base_version" mirror
  mkdir -p "$lab_dir/layers"
  exec 8>"$lab_dir/layers/lock"
  flock -w 900 8 || die "another run has been building the base of images for 15 minutes"
  if [ "$(cut -d' ' -f1,2 "$base.stamp" 2>/dev/null)" != "$stamp" ]; then
    lab_require_programs
    lab_export_apt_proxy
    rm -rf --one-file-system "$lab_dir/layers"/*
    while read -r mirror; do
      say "building the base of images ($root_suite), about a minute"
      rm -rf --one-file-system "$base.partial"
      lab_debootstrap "$base.partial" "$mirror" "$lab_dir/layers.log" && break
    done < <(lab_mirrors)
    [ -e "$base.partial/usr/bin/apt-get" ] ||
      die "no Debian archive of this machine's apt sources gave a base; see $lab_dir/layers.log"
    lab_strip_base "$base.partial"
    mv "$base.partial" "$base"
    echo "$stamp $(date +%s)" >"$base.stamp"
  fi
  exec 8>&-
}

# What no program needs; and no service starts because its package is installed.
lab_strip_base() {
  local base=$1
  rm -rf "$base"/var/cache/apt/* "$base"/usr/share/{doc,man,info,locale,i18n}
  printf 'path-exclude=/usr/share/%s/*\n' doc man info locale >"$base/etc/dpkg/dpkg.cfg.d/lab"
  echo 'force-unsafe-io' >>"$base/etc/dpkg/dpkg.cfg.d/lab"
  printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"
  chmod 0755 "$base/usr/sbin/policy-rc.d"
  echo "$base_user:x:$base_uid:$base_uid::/work:/bin/sh" >>"$base/etc/passwd"
  echo "$base_user:x:$base_uid:" >>"$base/etc/group"
}

# Installs packages into $1/upper, over the base. In namespaces of its own, as lab_debootstrap.
lab_install_layer() {
  local target=$1
  shift
  rm -rf --one-file-system "$target"
  mkdir -p "$target"/{upper,work,root}
  lab_export_apt_proxy
  bounded 600 unshare --mount --propagation private --pid --fork --kill-child -- \
    bash -c "$lab_install_script" _ "$lab_dir/layers/base" "$target" "$@" \
    >"$lab_dir/layers.log" 2>&1 </dev/null ||
    die "apt: $(sed -n "s/^E: //p" "$lab_dir/layers.log" | sort -u | head -n 2 | tr "\n" " " |
      grep . || tail -n 2 "$lab_dir/layers.log")"
}

# The lists of packages are kept beside the layers: none of them needs a copy.
# shellcheck disable=SC2016  # expanded by the new shell
lab_install_script='
  set -euo pipefail
  base=$1 target=$2 root=$2/root lists=$1.lists
  shift 2
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$target/upper,workdir=$target/work" "$root"
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=755 dev "$root/dev"
  for device in null zero full random urandom; do cp -a "/dev/$device" "$root/dev/$device"; done
  ln -s /proc/self/fd "$root/dev/fd"
  mkdir -p "$lists" "$root/var/lib/apt/lists"
  mount --bind "$lists" "$root/var/lib/apt/lists"
  mount -t tmpfs cache "$root/var/cache/apt"
  cp "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
  export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
  # A mirror may be of a day that is past; debootstrap does not mind either.
  apt="apt-get -q -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false"
  update() { chroot "$root" $apt update; }
  install() { chroot "$root" $apt install -y --no-install-recommends "$@"; }
  [ -n "$(ls -A "$lists")" ] || update
  # Lists that are older than the archive name files that it has no more.
  install "$@" || { update; install "$@"; }
  : >"$root/etc/resolv.conf"
  rm -rf "$root"/var/log/apt "$root"/var/log/dpkg.log "$root"/tmp/*
  umount "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root/dev" "$root/proc" "$root"'
