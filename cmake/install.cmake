# What is installed where, for both ways of building. Destinations are relative to the prefix, so that nothing is ever
# written outside it or DESTDIR.

# Everything but the configuration and the suites.
#   BIN, PLUGINS, SHARE, DOC: directories; COMPONENT: its component; MAN_COMPONENT: that of the manual pages
function(keyroll_install)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "BIN;PLUGINS;SHARE;DOC;COMPONENT;MAN_COMPONENT" "")
  set(out ${CMAKE_CURRENT_BINARY_DIR})
  # Mode 644, as distributions have plugins.
  install(FILES ${out}/keyroll.so DESTINATION ${arg_PLUGINS} COMPONENT ${arg_COMPONENT})
  install(PROGRAMS ${out}/bin/keyroll DESTINATION ${arg_BIN} COMPONENT ${arg_COMPONENT})
  install(DIRECTORY ${out}/man/ DESTINATION ${arg_SHARE}/man/man1 COMPONENT ${arg_MAN_COMPONENT}
    FILES_MATCHING PATTERN "*.1")
  install(FILES ${out}/completions/bash RENAME keyroll
    DESTINATION ${arg_SHARE}/bash-completion/completions COMPONENT ${arg_COMPONENT})
  install(FILES ${out}/completions/zsh RENAME _keyroll
    DESTINATION ${arg_SHARE}/zsh/vendor-completions COMPONENT ${arg_COMPONENT})
  install(FILES ${out}/completions/fish RENAME keyroll.fish
    DESTINATION ${arg_SHARE}/fish/vendor_completions.d COMPONENT ${arg_COMPONENT})
  install(FILES ${keyroll_source}/support-files/encrypt_everything.cnf
    DESTINATION ${arg_SHARE}/keyroll COMPONENT ${arg_COMPONENT})
  add_custom_command(TARGET keyroll POST_BUILD
    COMMAND ${CMAKE_COMMAND} -DFROM=${keyroll_source} -DTO=${out}/pages -P ${keyroll_source}/cmake/pages.cmake VERBATIM)
  install(DIRECTORY ${out}/pages/ DESTINATION ${arg_DOC} COMPONENT ${arg_COMPONENT})
  install(PROGRAMS ${keyroll_source}/examples/exec-provider-openssl.sh
    DESTINATION ${arg_DOC}/examples COMPONENT ${arg_COMPONENT})
endfunction()

# The suites. What is a link in the checkout is installed as the file that it leads to.
function(keyroll_install_suites destination component)
  set(suites ${keyroll_source}/mariadb-test)
  file(GLOB_RECURSE files RELATIVE ${suites} ${suites}/*)
  foreach(file IN LISTS files)
    if(IS_SYMLINK ${suites}/${file})
      get_filename_component(real ${suites}/${file} REALPATH)
      get_filename_component(folder ${file} DIRECTORY)
      get_filename_component(name ${file} NAME)
      install(PROGRAMS ${real} DESTINATION ${destination}/${folder} RENAME ${name} COMPONENT ${component})
      list(APPEND links ${name})
    endif()
  endforeach()
  set(leave_out PATTERN __pycache__ EXCLUDE PATTERN "*.reject" EXCLUDE)
  foreach(link IN LISTS links)
    list(APPEND leave_out PATTERN ${link} EXCLUDE)
  endforeach()
  install(DIRECTORY ${suites}/ DESTINATION ${destination} COMPONENT ${component}
    USE_SOURCE_PERMISSIONS ${leave_out})
endfunction()
