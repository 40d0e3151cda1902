# Programs that tests run beside the nodes and that no machine should get a service for. Sourced by
# hack/lab.

# Debian packages whose programs are taken out of them; nothing of them is installed.
tool_packages=(prometheus)

# Prints the folder of the programs. Made aside and renamed when complete, like the nodes' root.
lab_tools() {
  local stamp tools=$lab_dir/tools
  stamp=$(echo "$(. /etc/os-release && echo "$VERSION_CODENAME") ${tool_packages[*]}" | sha256sum |
    cut -d' ' -f1)
  mkdir -p "$lab_dir"
  exec 8>"$lab_dir/tools.lock"
  flock -w 300 8 || die "another run has been fetching the tools for 5 minutes"
  if [ "$(cat "$tools/.lab-stamp" 2>/dev/null)" != "$stamp" ]; then
    say "fetching ${tool_packages[*]}"
    lab_fetch_tools "$tools.partial"
    echo "$stamp" >"$tools.partial/.lab-stamp"
    rm -rf --one-file-system "$tools"
    mv "$tools.partial" "$tools"
  fi
  exec 8>&-
  echo "$tools/usr/bin"
}

lab_fetch_tools() {
  local target=$1 package
  rm -rf --one-file-system "$target"
  mkdir -p "$target/packages"
  # A machine without lists of packages, or with old ones, gets new ones first.
  (cd "$target/packages" && { lab_download_tools || { apt-get update -qq && lab_download_tools; }; }) ||
    die "the Debian packages ${tool_packages[*]} cannot be downloaded"
  for package in "$target"/packages/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -C "$target" -x ./usr/bin
  done
  rm -rf "$target/packages"
}

# As root: the user that apt would rather download as may not write here.
lab_download_tools() {
  apt-get -q -o APT::Sandbox::User=root download "${tool_packages[@]}" >/dev/null
}
