# Run by `cmake --install` after BundleLibraries.cmake: puts the licences of what was bundled, and of
# what is linked in, into <prefix>/share/doc/cryopod/licences, under the names of the Debian packages.
#
# Takes PREFIX (where to), resolved (paths of the bundled libraries) and LINKED_PACKAGES (of which
# programs hold code).
find_program(DPKG_QUERY dpkg-query)
if(NOT DPKG_QUERY)
  message(STATUS "No dpkg-query here: licences of the bundled libraries were not bundled")
  return()
endif()
set(packages ${LINKED_PACKAGES})
foreach(library IN LISTS resolved)
  file(REAL_PATH "${library}" file)
  # Where /lib is a link to /usr/lib, dpkg may know a file by either name.
  string(REGEX REPLACE "^/usr" "" short "${file}")
  execute_process(COMMAND ${DPKG_QUERY} --search "${file}" "${short}"
    OUTPUT_VARIABLE owner ERROR_QUIET)
  if(NOT owner MATCHES "^([^:, ]+)")
    message(FATAL_ERROR "no Debian package holds ${library}: its licence is not known")
  endif()
  list(APPEND packages ${CMAKE_MATCH_1})
endforeach()
list(REMOVE_DUPLICATES packages)
# file(INSTALL) alone knows of DESTDIR.
set(licences "${PREFIX}/share/doc/cryopod/licences")
set(directory "$ENV{DESTDIR}${licences}")
file(MAKE_DIRECTORY "${directory}")
foreach(package IN LISTS packages)
  file(REAL_PATH "/usr/share/doc/${package}/copyright" copyright)
  if(NOT EXISTS "${copyright}")
    message(FATAL_ERROR "package ${package} has no copyright file")
  endif()
  file(COPY_FILE "${copyright}" "${directory}/${package}")
endforeach()
# What the copyright files refer to.
file(INSTALL DESTINATION "${licences}" TYPE DIRECTORY FILES /usr/share/common-licenses)
list(LENGTH packages count)
message(STATUS "Bundled the licences of ${count} packages into ${licences}")
