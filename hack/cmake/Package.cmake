# The .deb that hack/package makes: the installed tree under /opt/cryopod, which needs of the node no
# library but the C library.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cryopod)
set(CPACK_PACKAGE_CONTACT "cryopod <cryopod@cryopod.dev>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "checkpoints and restores whole pods on a Kubernetes node")
set(CPACK_PACKAGING_INSTALL_PREFIX /opt/cryopod)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"All containers of a pod as one consistent cut, packed into an OCI archive, and
restored on another node as a live, ordinary pod. Works with the containerd, runc
and CRIU of the node. After the installation of the package, `cryopodctl node
install` in /opt/cryopod/bin makes the node use it.")
# What was linked against: the C library of the machine that built it, or a later one.
execute_process(COMMAND dpkg-query --show --showformat "\${Version}" libc6
  OUTPUT_VARIABLE libc_version ERROR_QUIET)
string(REGEX MATCH "^[0-9.]+" libc_version "${libc_version}")
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= ${libc_version}), passwd")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "criu (>= 4.1), runc, containerd (>= 2.0)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/manifests/debian/prerm)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/LinkCompletions.cmake)
include(CPack)
