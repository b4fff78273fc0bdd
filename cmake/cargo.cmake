# The target `keyroll`: cargo builds the plugin and the command, which prints its manual pages and completions.
#
# Set before: keyroll_source, the real path of the checkout. Made, below CMAKE_CURRENT_BINARY_DIR:
#   keyroll.so, bin/keyroll, man/*.1, completions/{bash,zsh,fish}, and cargo/ for cargo itself unless it is told another place.

find_program(KEYROLL_CARGO cargo HINTS $ENV{HOME}/.cargo/bin DOC "cargo, which builds keyroll")
option(KEYROLL_OFFLINE "Build keyroll from what cargo has already fetched" OFF)
set(KEYROLL_VENDOR_DIR "" CACHE PATH "Directory made by `cargo vendor`, to build keyroll from without network")
set(KEYROLL_CARGO_ARGS "" CACHE STRING "More arguments of `cargo build`, separated by semicolons")
set(KEYROLL_TARGET_DIR "" CACHE PATH "cargo's target directory: cargo/ in the build tree unless told")
set(KEYROLL_SERVER_INCLUDE "" CACHE STRING
  "Directories of the server's headers, separated by colons, to check the plugin's interface against")
mark_as_advanced(KEYROLL_CARGO KEYROLL_OFFLINE KEYROLL_VENDOR_DIR KEYROLL_CARGO_ARGS KEYROLL_TARGET_DIR
  KEYROLL_SERVER_INCLUDE)

function(keyroll_add_target)
  set(out ${CMAKE_CURRENT_BINARY_DIR})
  set(target ${out}/cargo)
  if(KEYROLL_TARGET_DIR)
    set(target ${KEYROLL_TARGET_DIR})
  endif()
  set(arguments build --locked ${KEYROLL_CARGO_ARGS})
  if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    set(built ${target}/debug)
  else()
    list(APPEND arguments --release)
    set(built ${target}/release)
  endif()
  if(KEYROLL_VENDOR_DIR)
    list(APPEND arguments --offline
      --config "source.crates-io.replace-with='keyroll-vendored'"
      --config "source.keyroll-vendored.directory='${KEYROLL_VENDOR_DIR}'")
  elseif(KEYROLL_OFFLINE)
    list(APPEND arguments --offline)
  endif()

  # make's jobserver is not cargo's.
  set(environment --unset=MAKEFLAGS --unset=MFLAGS --unset=MAKELEVEL
    CARGO=${KEYROLL_CARGO} CARGO_TARGET_DIR=${target} KEYROLL_VENDOR_DIR=${KEYROLL_VENDOR_DIR})
  if(KEYROLL_SERVER_INCLUDE)
    list(APPEND environment KEYROLL_REQUIRE_ABI_CHECK=1 "KEYROLL_SERVER_INCLUDE=${KEYROLL_SERVER_INCLUDE}")
  endif()

  # No dependencies are listed: cargo is always asked, because it alone knows whether there is something to do.
  add_custom_target(keyroll ALL
    COMMAND ${CMAKE_COMMAND} -E env ${environment} sh ${keyroll_source}/scripts/cargo.sh ${arguments}
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${out}/man
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}/bin ${out}/man ${out}/completions
    COMMAND ${CMAKE_COMMAND} -E copy_if_different ${built}/libkeyroll.so ${out}/keyroll.so
    COMMAND ${CMAKE_COMMAND} -E copy_if_different ${built}/keyroll ${out}/bin/keyroll
    COMMAND ${out}/bin/keyroll man --dir ${out}/man
    COMMAND ${out}/bin/keyroll completions bash > ${out}/completions/bash
    COMMAND ${out}/bin/keyroll completions zsh > ${out}/completions/zsh
    COMMAND ${out}/bin/keyroll completions fish > ${out}/completions/fish
    BYPRODUCTS ${out}/keyroll.so ${out}/bin/keyroll
    # From here cargo finds .cargo/config.toml and rust-toolchain.toml.
    WORKING_DIRECTORY ${keyroll_source}
    COMMENT "Building keyroll with cargo"
    VERBATIM)
endfunction()
