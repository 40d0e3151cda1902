#!/bin/bash
# The lab finds the Debian archives of a machine in both formats of apt's sources, and no others.
set -euo pipefail
. "$(dirname "$0")/../../hack/lab.d/requirements.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

expect() {
  local sentence=$1 expected=$2 found=$3
  if [ "$found" != "$expected" ]; then
    printf 'FAILED: %s\nexpected: %s\nfound: %s\n' "$sentence" "$expected" "$found" >&2
    exit 1
  fi
}

cat >"$work/one-line" <<'SOURCES'
# deb http://commented.invalid/debian bookworm main
deb http://plain.invalid/debian bookworm main contrib
deb [arch=amd64 signed-by=/etc/key.gpg] http://options.invalid/debian bookworm main # remark
deb-src http://source.invalid/debian bookworm main
deb http://security.invalid/debian-security bookworm-security main
deb http://vendor.invalid/apt stable nonfree
SOURCES
expect "one-line sources: archives with main, but no security, source or vendor ones" \
  "http://plain.invalid/debian http://options.invalid/debian" \
  "$(lab_mirrors_of_list "$work/one-line" | xargs)"

cat >"$work/deb822" <<'SOURCES'
# A remark
Types: deb deb-src
URIs: http://first.invalid/debian
  http://second.invalid/debian
Suites: bookworm bookworm-updates
# a remark inside
Components: main

Types: deb
URIs: http://security.invalid/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.invalid/debian
Suites: bookworm
Components: main

types: deb
uris: http://last.invalid/debian
suites: bookworm
components: contrib main
SOURCES
expect "deb822 sources: enabled binary archives with main, continued lines, any case of fields" \
  "http://first.invalid/debian http://second.invalid/debian http://last.invalid/debian" \
  "$(lab_mirrors_of_deb822 "$work/deb822" | xargs)"

printf '# mirrors\nhttp://listed.invalid/debian\tpriority:1\n' >"$work/mirrors"
expect "a mirror file is read; unknown transports are left out" \
  "http://listed.invalid/debian file:/archive" \
  "$(printf 'mirror+file:%s/mirrors\ncdrom:disc\nfile:/archive\n' "$work" |
    lab_expand_mirror_files | xargs)"
echo "lab mirrors: passed"
