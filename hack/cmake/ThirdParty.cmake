# Libraries that are not ours, under names of our own: cryopod_grpc, cryopod_protobuf,
# cryopod_protobuf_lite, cryopod_libarchive, cryopod_zstd, cryopod_zlib, cryopod_crypto.
#
# Linked from their static archives, a program holds what it uses of them and nothing else: the agent
# is 8 MiB smaller in memory than with the shared ones, and the parser of foreign archives does not
# have libxml2 and ICU in it. gRPC without TLS: sockets of ours are unix sockets. A sanitizer's build
# uses the shared ones, which takes less disk and time per test program.
pkg_check_modules(CRYOPOD_GRPC REQUIRED grpc++_unsecure)

# Sets `result` to the paths of the archives of these libraries; one without an archive stays -lNAME.
function(cryopod_find_archives result)
  set(found "")
  foreach(name IN LISTS ARGN)
    find_library(CRYOPOD_ARCHIVE_${name} NAMES lib${name}.a)
    if(CRYOPOD_ARCHIVE_${name})
      list(APPEND found ${CRYOPOD_ARCHIVE_${name}})
    else()
      list(APPEND found ${name})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES found)
  set(${result} ${found} PARENT_SCOPE)
endfunction()

foreach(library grpc protobuf protobuf_lite libarchive zstd zlib crypto)
  add_library(cryopod_${library} INTERFACE)
endforeach()
if(CRYOPOD_SANITIZER)
  target_link_libraries(cryopod_grpc INTERFACE gRPC::grpc++)
  target_link_libraries(cryopod_protobuf INTERFACE protobuf::libprotobuf)
  target_link_libraries(cryopod_protobuf_lite INTERFACE protobuf::libprotobuf-lite)
  target_link_libraries(cryopod_libarchive INTERFACE LibArchive::LibArchive)
  target_link_libraries(cryopod_zstd INTERFACE PkgConfig::ZSTD)
  target_link_libraries(cryopod_zlib INTERFACE z)
  target_link_libraries(cryopod_crypto INTERFACE OpenSSL::Crypto)
else()
  # The list of pkg-config lacks what Debian builds beside gRPC.
  set(names ${CRYOPOD_GRPC_STATIC_LIBRARIES} upb address_sorting cares z protobuf)
  list(REMOVE_DUPLICATES names)
  list(REMOVE_ITEM names rt atomic)
  cryopod_find_archives(grpc ${names})
  cryopod_find_archives(protobuf protobuf z)
  cryopod_find_archives(protobuf_lite protobuf-lite)
  cryopod_find_archives(libarchive archive)
  cryopod_find_archives(zstd zstd)
  cryopod_find_archives(zlib z)
  cryopod_find_archives(crypto crypto)
  foreach(library grpc protobuf protobuf_lite libarchive zstd zlib crypto)
    # Without it libarchive's formats that nobody uses would want libraries of their own.
    target_link_options(cryopod_${library} INTERFACE LINKER:--gc-sections)
    # In any order: these archives need each other.
    target_link_libraries(cryopod_${library} INTERFACE
      "$<LINK_GROUP:RESCAN,${${library}}>" Threads::Threads)
  endforeach()
endif()

# Debian's packages of which programs hold code: archives, and headers full of it, which hack/check
# looks for.
set(CRYOPOD_LINKED_PACKAGES libgrpc-dev libgrpc++-dev libprotobuf-dev libabsl-dev libc-ares-dev libre2-dev
  libarchive-dev libzstd-dev zlib1g-dev libssl-dev libcpprest-dev prometheus-cpp-dev
  nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libboost1.74-dev
  libstdc++-12-dev libc6-dev)
