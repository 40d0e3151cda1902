# Run by `cmake --install`: copies the shared libraries that the installed programs need, without the C
# library's own, into <prefix>/lib, where their run paths look first. What is built on one release of
# Debian then runs on nodes with other libraries.
#
# Takes PROGRAMS (paths of the built programs) and PREFIX (where to).
file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${PROGRAMS}
  RESOLVED_DEPENDENCIES_VAR resolved
  UNRESOLVED_DEPENDENCIES_VAR unresolved
  PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv|anl|util)\\.so\\.")
if(unresolved)
  message(FATAL_ERROR "libraries that cannot be found: ${unresolved}")
endif()
foreach(library IN LISTS resolved)
  file(INSTALL DESTINATION "${PREFIX}/lib" TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN
    FILES "${library}")
endforeach()
list(LENGTH resolved count)
message(STATUS "Bundled ${count} libraries into ${PREFIX}/lib")
include("${CMAKE_CURRENT_LIST_DIR}/BundleLicences.cmake")
