# Run by cpack before it packs: a shell looks for completions under /usr, and the package's lie in /opt.
foreach(script bash-completion/completions/cryopodctl zsh/vendor-completions/_cryopodctl)
  set(link "${CPACK_TEMPORARY_DIRECTORY}/usr/share/${script}")
  get_filename_component(folder "${link}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  # Debian's name for what packages bring; elsewhere, and under any prefix, it is site-functions.
  string(REPLACE vendor-completions site-functions installed "${script}")
  file(CREATE_LINK "${CPACK_PACKAGING_INSTALL_PREFIX}/share/${installed}" "${link}" SYMBOLIC)
endforeach()
