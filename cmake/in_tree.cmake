# keyroll as plugin/keyroll of a server's source tree. MYSQL_ADD_PLUGIN itself links C; this does for a target that cargo
# builds what that macro does for others. Nothing of the server has to be built for it.
#
# All variables of the server's CMake are visible here and ours there: ours begin with KEYROLL_ or keyroll_.

if(WITHOUT_SERVER)
  return()
endif()
get_filename_component(keyroll_source ${CMAKE_CURRENT_SOURCE_DIR} REALPATH)

set(keyroll_default DYNAMIC)
if(WITH_NONE OR WITHOUT_KEYROLL)
  set(keyroll_default NO)
endif()
set(PLUGIN_KEYROLL ${keyroll_default} CACHE STRING "How to build plugin KEYROLL. Options are: NO DYNAMIC YES AUTO.")
set_property(CACHE PLUGIN_KEYROLL PROPERTY STRINGS NO DYNAMIC YES AUTO)

if(PLUGIN_KEYROLL STREQUAL "NO")
  add_feature_info(KEYROLL OFF "Encryption keys with versions, rotation with one statement")
  return()
elseif(PLUGIN_KEYROLL STREQUAL "STATIC")
  message(FATAL_ERROR "Plugin KEYROLL cannot be built statically: use -DPLUGIN_KEYROLL=DYNAMIC")
elseif(NOT PLUGIN_KEYROLL MATCHES "^(DYNAMIC|YES|AUTO)$")
  message(FATAL_ERROR "PLUGIN_KEYROLL is ${PLUGIN_KEYROLL}, but must be NO, DYNAMIC, YES or AUTO")
endif()

include(${CMAKE_CURRENT_SOURCE_DIR}/cmake/cargo.cmake)
include(${CMAKE_CURRENT_SOURCE_DIR}/cmake/install.cmake)
if(NOT KEYROLL_CARGO)
  # With PLUGIN_KEYROLL=YES the server's configuration stops at the missing target.
  message(STATUS "Plugin KEYROLL is not built: cargo was not found (install Rust, or set -DKEYROLL_CARGO=)")
  add_feature_info(KEYROLL OFF "Encryption keys with versions, rotation with one statement (no cargo)")
  return()
endif()

# The headers of this very server, with those that its configuration made.
set(KEYROLL_SERVER_INCLUDE "${CMAKE_SOURCE_DIR}/include:${CMAKE_BINARY_DIR}/include")
keyroll_add_target()
add_feature_info(KEYROLL ON "Encryption keys with versions, rotation with one statement")

keyroll_install(BIN ${INSTALL_BINDIR} PLUGINS ${INSTALL_PLUGINDIR} SHARE share
  DOC share/doc/mariadb-plugin-keyroll COMPONENT keyroll MAN_COMPONENT keyroll)
# Empty where the layout has no directory for option files.
if(INSTALL_SYSCONF2DIR)
  install(FILES ${keyroll_source}/support-files/keyroll.cnf DESTINATION ${INSTALL_SYSCONF2DIR} COMPONENT keyroll)
endif()
if(INSTALL_MYSQLTESTDIR)
  keyroll_install_suites(${INSTALL_MYSQLTESTDIR}/plugin/keyroll Test)
endif()

# A component of its own in the server's packages.
if(CPACK_COMPONENTS_ALL AND INSTALL_SYSCONF2DIR)
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} keyroll PARENT_SCOPE)
  set(CPACK_RPM_keyroll_PACKAGE_REQUIRES "MariaDB-server" PARENT_SCOPE)
  # Without any of these two the server's cpack makes no RPM at all.
  set(CPACK_RPM_keyroll_PACKAGE_SUMMARY "Encryption keys with versions, rotation with one statement" PARENT_SCOPE)
  set(CPACK_RPM_keyroll_PACKAGE_DESCRIPTION "keyroll.so gives the server data keys that rotate online, with one statement,
from a keystore that a master key wraps, from Vault, or from a key file like that of file_key_management, which it replaces.
The command keyroll makes, lists, rotates and checks the same keys." PARENT_SCOPE)
  set(CPACK_RPM_keyroll_PACKAGE_LICENSE "MIT OR Apache-2.0" PARENT_SCOPE)
  set(CPACK_RPM_keyroll_USER_FILELIST "%config(noreplace) ${INSTALL_SYSCONF2DIR}/keyroll.cnf" PARENT_SCOPE)
endif()
