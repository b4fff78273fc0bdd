# `cpack -G DEB`: the package mariadb-plugin-keyroll. The component `keyroll` is the list of files; `debian` adds what
# only a .deb has, and is in no other installation.

set(keyroll_deb ${CMAKE_CURRENT_BINARY_DIR}/debian)
set(KEYROLL_DEB_REVISION 1 CACHE STRING "The package's version after the dash")
set(KEYROLL_DEB_MAINTAINER "keyroll maintainers <maintainers@keyroll.invalid>" CACHE STRING
  "Who makes the package and answers for it; set it for a release")
mark_as_advanced(KEYROLL_DEB_REVISION KEYROLL_DEB_MAINTAINER)

set(CPACK_PACKAGE_CONTACT "${KEYROLL_DEB_MAINTAINER}")
string(TIMESTAMP keyroll_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH, where it is set
configure_file(cmake/debian/changelog.in ${keyroll_deb}/changelog.Debian @ONLY)
# Compressed without names and times, for the same bytes each time.
add_custom_target(deb-files ALL
  COMMAND gzip -9nk -f ${keyroll_deb}/changelog.Debian
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${keyroll_deb}/man
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${CMAKE_CURRENT_BINARY_DIR}/man ${keyroll_deb}/man
  COMMAND sh -c "gzip -9n man/*.1"
  COMMAND gzip -9nc ${keyroll_source}/CHANGELOG.md > ${keyroll_deb}/changelog.gz
  DEPENDS keyroll WORKING_DIRECTORY ${keyroll_deb} VERBATIM)

set(keyroll_only_deb COMPONENT debian EXCLUDE_FROM_ALL)
install(DIRECTORY ${keyroll_deb}/man/ DESTINATION share/man/man1 ${keyroll_only_deb})
install(FILES ${keyroll_deb}/changelog.Debian.gz ${keyroll_deb}/changelog.gz
  DESTINATION share/doc/mariadb-plugin-keyroll ${keyroll_only_deb})
install(FILES cmake/debian/copyright DESTINATION share/doc/mariadb-plugin-keyroll ${keyroll_only_deb})
install(FILES cmake/debian/lintian-overrides DESTINATION share/lintian/overrides RENAME mariadb-plugin-keyroll
  ${keyroll_only_deb})
# Beside the package's prefix /usr.
install(FILES support-files/keyroll.cnf DESTINATION ../etc/mysql/mariadb.conf.d ${keyroll_only_deb})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME mariadb-plugin-keyroll)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "encryption keys with versions for the MariaDB server")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL keyroll debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_NAME mariadb-plugin-keyroll)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${KEYROLL_DEB_REVISION})
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DEPENDS mariadb-server)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "keyroll.so gives the server data keys that rotate online, with one statement,
from a keystore that a master key wraps or from a key file like that of
file_key_management, which it replaces. The command keyroll makes, lists,
rotates and checks the same keys.

Nothing is encrypted until lines of keyroll.cnf in /etc/mysql/mariadb.conf.d
are uncommented.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_SOURCE_DIR}/cmake/debian/conffiles ${CMAKE_CURRENT_SOURCE_DIR}/cmake/debian/postinst)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
