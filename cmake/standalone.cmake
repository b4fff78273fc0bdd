# keyroll by itself, beside an installed server: the targets `keyroll` (the default) and `mtr`, install rules, the .deb.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, or anything else for cargo's release profile" FORCE)
endif()
get_filename_component(keyroll_source ${CMAKE_CURRENT_SOURCE_DIR} REALPATH)

include(cmake/server.cmake)
include(cmake/cargo.cmake)
include(cmake/install.cmake)
if(NOT KEYROLL_CARGO)
  message(FATAL_ERROR "keyroll: cargo is missing: install Rust, see https://www.rust-lang.org/tools/install, "
    "or set -DKEYROLL_CARGO=")
endif()

keyroll_add_target()
keyroll_install(BIN bin PLUGINS ${KEYROLL_PLUGIN_DIR} SHARE share DOC share/doc/mariadb-plugin-keyroll
  COMPONENT keyroll MAN_COMPONENT man)
keyroll_install_suites(${KEYROLL_MTR_DIR}/plugin/keyroll suites)

# Decided at install time, because only then `cmake --install --prefix` tells the prefix. Below /usr itself, and nowhere
# else, configuration belongs beside the prefix. What an administrator wrote there stays.
install(CODE "
  set(dir \"\${CMAKE_INSTALL_PREFIX}/etc/${KEYROLL_CNF_DIR}\")
  if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
    set(dir \"/etc/${KEYROLL_CNF_DIR}\")
  endif()
  set(installed \"\$ENV{DESTDIR}\${dir}/keyroll.cnf\")
  if(EXISTS \"\${installed}\")
    message(STATUS \"Kept: \${installed}\")
  else()
    file(INSTALL \"${keyroll_source}/support-files/keyroll.cnf\" DESTINATION \"\${dir}\")
    file(READ \"\${installed}\" text)
    string(REPLACE \"/usr/share/keyroll/\" \"\${CMAKE_INSTALL_PREFIX}/share/keyroll/\" text \"\${text}\")
    file(WRITE \"\${installed}\" \"\${text}\")
  endif()
" COMPONENT cnf)

set(KEYROLL_MTR_ARGS "" CACHE STRING "Tests and options of mtr for the target mtr, separated by semicolons; all suites unless told")
mark_as_advanced(KEYROLL_MTR_ARGS)
add_custom_target(mtr
  COMMAND ${CMAKE_COMMAND} -E env KEYROLL_SO=${CMAKE_CURRENT_BINARY_DIR}/keyroll.so
    KEYROLL_BIN=${CMAKE_CURRENT_BINARY_DIR}/bin/keyroll ${keyroll_source}/scripts/mtr.sh ${KEYROLL_MTR_ARGS}
  DEPENDS keyroll USES_TERMINAL
  COMMENT "Running the suites on the installed server, without changing it"
  VERBATIM)

include(cmake/deb.cmake)
