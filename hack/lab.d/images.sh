# The test images and what else the nodes need compiled. Sourced by hack/lab.

# Sets images_dir to a folder that holds images.tar (all test images in one OCI archive) and
# prlimit_shim.so; builds it when a source of it has changed.
lab_images() {
  local key
  key=$(find "$parts" "$repository/tests/workloads" "$lab_dir/root/.lab-stamp" -type f \
    ! -name '*_test.cc' \
    \( -name '*.c' -o -name '*.cc' -o -name '*.h' -o -name '*images*' -o -name .lab-stamp \) \
    -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
  images_dir=$lab_dir/images/$key
  [ ! -e "$images_dir" ] || return 0
  exec 8>"$lab_dir/images.lock"
  flock -w 300 8 || die "another run has been building the test images for 5 minutes"
  if [ ! -e "$images_dir" ]; then
    lab_require_programs
    say "building the test images"
    mkdir -p "$lab_dir/images"
    # Another lab may be importing from a young one.
    find "$lab_dir/images" -mindepth 1 -maxdepth 1 \( -name '*.partial' -o -mmin +600 \) \
      -exec rm -rf {} +
    mkdir -p "$images_dir.partial/bin"
    lab_compile "$images_dir.partial"
    "$(lab_python)" "$parts/make_images.py" "$images_dir.partial/images.tar" \
      "$lab_dir/root/usr/bin/busybox" "$images_dir.partial/pause" "$images_dir.partial/bin"
    mv "$images_dir.partial" "$images_dir"
  fi
  exec 8>&-
}

# Prints the folder of the compiled workloads, for what wants to run one outside a container.
lab_workloads() {
  lab_root
  lab_images
  echo "$images_dir/bin"
}

# Debian's own Python when it is there: another one in front of it in PATH may be anything.
lab_python() {
  if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else echo python3; fi
}

lab_compile() {
  local out=$1 source jobs=0
  gcc -O2 -Wall -Wextra -Werror -static -o "$out/pause" "$parts/pause.c"
  gcc -O2 -Wall -Wextra -Werror -shared -fPIC -o "$out/prlimit_shim.so" "$parts/prlimit_shim.c" -ldl
  for source in "$repository"/tests/workloads/*.cc; do
    [ -e "$source" ] || continue
    [[ $source != *_test.cc ]] || continue
    bounded 300 g++ -std=c++20 -O2 -g1 -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
      -Werror -static -pthread -I "$repository" \
      -o "$out/bin/$(basename "$source" .cc)" "$source" &
    jobs=$((jobs + 1))
    # As many compilers as processors.
    if [ $jobs -ge "$(nproc)" ]; then
      wait -n
      jobs=$((jobs - 1))
    fi
  done
  while [ $jobs -gt 0 ]; do
    wait -n
    jobs=$((jobs - 1))
  done
}
