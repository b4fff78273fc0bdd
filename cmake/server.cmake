# Asks the installed server where things are.
#
# Sets: KEYROLL_SERVER_VERSION, KEYROLL_PLUGIN_DIR, KEYROLL_CNF_DIR, KEYROLL_MTR_DIR (all can be given instead), and
# CMAKE_INSTALL_PREFIX where nobody has set it. The three directories are relative to the prefix; KEYROLL_CNF_DIR is
# relative to /etc, or to PREFIX/etc.

find_program(KEYROLL_MARIADBD NAMES mariadbd mysqld PATHS /usr/sbin /usr/libexec /usr/local/sbin
  DOC "The installed server, which is asked for its directories")
mark_as_advanced(KEYROLL_MARIADBD)

set(keyroll_basedir /usr)
set(keyroll_found_version "unknown")
set(keyroll_found_plugin_dir lib/mysql/plugin)
if(KEYROLL_MARIADBD)
  execute_process(COMMAND ${KEYROLL_MARIADBD} --no-defaults --verbose --help
    OUTPUT_VARIABLE keyroll_answer ERROR_QUIET)
  if(keyroll_answer MATCHES "\nbasedir +([^\n]+)")
    get_filename_component(keyroll_basedir "${CMAKE_MATCH_1}" ABSOLUTE)
  endif()
  if(keyroll_answer MATCHES "\nplugin-dir +([^\n]+)")
    get_filename_component(keyroll_plugin_dir "${CMAKE_MATCH_1}" ABSOLUTE)
    file(RELATIVE_PATH keyroll_found_plugin_dir ${keyroll_basedir} ${keyroll_plugin_dir})
  endif()
  if(keyroll_answer MATCHES "\nversion +([0-9]+[.][0-9]+[.][0-9]+)")
    set(keyroll_found_version ${CMAKE_MATCH_1})
  endif()
  if(keyroll_found_plugin_dir MATCHES "^[.][.]")
    message(FATAL_ERROR "keyroll: the plugin directory ${keyroll_plugin_dir} of ${KEYROLL_MARIADBD} is not below its "
      "basedir ${keyroll_basedir}. Give both: -DKEYROLL_PLUGIN_DIR=, relative to -DCMAKE_INSTALL_PREFIX=")
  endif()
else()
  message(STATUS "keyroll: no installed server was found; -DKEYROLL_PLUGIN_DIR= tells where plugins are, below the prefix")
endif()

set(keyroll_found_cnf_dir mysql/mariadb.conf.d)
if(NOT IS_DIRECTORY /etc/mysql/mariadb.conf.d AND IS_DIRECTORY /etc/my.cnf.d)
  set(keyroll_found_cnf_dir my.cnf.d)
endif()

set(keyroll_found_mtr_dir share/mysql/mysql-test)
foreach(keyroll_dir share/mariadb/mariadb-test share/mariadb-test share/mysql-test share/mysql/mysql-test)
  if(EXISTS ${keyroll_basedir}/${keyroll_dir}/mariadb-test-run.pl)
    set(keyroll_found_mtr_dir ${keyroll_dir})
  endif()
endforeach()

set(KEYROLL_SERVER_VERSION ${keyroll_found_version} CACHE STRING "Version of the server")
set(KEYROLL_PLUGIN_DIR ${keyroll_found_plugin_dir} CACHE STRING "The server's plugin directory, relative to the prefix")
set(KEYROLL_CNF_DIR ${keyroll_found_cnf_dir} CACHE STRING "Directory of the server's option files, relative to etc")
set(KEYROLL_MTR_DIR ${keyroll_found_mtr_dir} CACHE STRING "The server's test framework, relative to the prefix")

if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
  set(CMAKE_INSTALL_PREFIX ${keyroll_basedir} CACHE PATH "Where the server is installed" FORCE)
endif()
foreach(keyroll_dir KEYROLL_PLUGIN_DIR KEYROLL_CNF_DIR KEYROLL_MTR_DIR)
  if(IS_ABSOLUTE "${${keyroll_dir}}")
    message(FATAL_ERROR "keyroll: ${keyroll_dir} is ${${keyroll_dir}}, which must not begin with a slash: "
      "everything is installed below the prefix (${CMAKE_INSTALL_PREFIX})")
  endif()
endforeach()
message(STATUS "keyroll ${PROJECT_VERSION} for MariaDB ${KEYROLL_SERVER_VERSION}: "
  "plugin directory ${CMAKE_INSTALL_PREFIX}/${KEYROLL_PLUGIN_DIR}")
