# What the machine itself must have. Sourced by hack/lab.

# Installs the Debian packages of the programs that are missing, in one go.
lab_require_programs() {
  local -A package_of=(
    [debootstrap]=debootstrap [wget]=wget [python3]=python3 [ip]=iproute2 [nsenter]=util-linux
    [flock]=util-linux [gcc]=gcc [g++]=g++ [tar]=tar
  )
  local program missing=()
  for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
  done
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
  [ ${#missing[@]} = 0 ] && return
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# Prints the Debian archives of this machine's apt sources, in their order, without duplicates.
lab_mirrors() {
  local file
  {
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
      [ -r "$file" ] && lab_mirrors_of_list "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
      [ -r "$file" ] && lab_mirrors_of_deb822 "$file"
    done
  } | lab_expand_mirror_files | awk '!seen[$0]++'
}

# One-line format: deb [options] URI SUITE COMPONENT...
lab_mirrors_of_list() {
  sed -e 's/#.*//' -e 's/^\(deb[[:space:]]*\)\[[^]]*\]/\1/' "$1" |
    awk '$1 == "deb" && $3 !~ /security/ && / main/ { print $2 }'
}

# deb822: stanzas of "Field: values", continued on lines that begin with a blank.
lab_mirrors_of_deb822() {
  awk '
    function flush(  n, i, uri) {
      if (types ~ /(^| )deb( |$)/ && suites !~ /security/ && components ~ /(^| )main( |$)/ &&
          enabled !~ /^ *(no|false)/) {
        n = split(uris, uri, /[ \t]+/)
        for (i = 1; i <= n; i++) if (uri[i] != "") print uri[i]
      }
      types = uris = suites = components = enabled = field = ""
    }
    /^#/ { next }
    /^[ \t]*$/ { flush(); next }
    {
      value = $0
      if ($0 !~ /^[ \t]/) { field = tolower($0); sub(/:.*/, "", field); sub(/^[^:]*:/, "", value) }
      if (field == "types") types = types " " value
      if (field == "uris") uris = uris " " value
      if (field == "suites") suites = suites " " value
      if (field == "components") components = components " " value
      if (field == "enabled") enabled = value
    }
    END { flush() }' "$1"
}

# A "mirror+file:" URI names a file with one mirror per line.
lab_expand_mirror_files() {
  local uri file
  while read -r uri; do
    case $uri in
      mirror+file:*)
        file=${uri#mirror+file:}
        [ -r "$file" ] && awk '!/^#/ && NF { print $1 }' "$file"
        ;;
      http:* | https:* | ftp:* | file:*) echo "$uri" ;;
    esac
  done
}

# apt may know a proxy that wget does not.
lab_export_apt_proxy() {
  local proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  if [ -n "$proxy" ] && [ "$proxy" != DIRECT ] && [ -z "${http_proxy:-}" ]; then
    export http_proxy=$proxy
  fi
}
