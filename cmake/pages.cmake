# cmake -DFROM=CHECKOUT -DTO=FOLDER -P pages.cmake: the pages as they are installed. A link to a file of the checkout that is
# not installed would lead nowhere: its text remains.
cmake_minimum_required(VERSION 3.13...3.25)
set(checkout_only "\\[([^]]+)\\]\\((\\.\\./)*(CHANGELOG\\.md|CONTRIBUTING\\.md|(benches|mariadb-test|tests)/[^)]*)\\)")
file(REMOVE_RECURSE ${TO})
file(GLOB_RECURSE pages RELATIVE ${FROM} ${FROM}/docs/*.md ${FROM}/docs/*.svg)
foreach(page IN ITEMS README.md SECURITY.md LISTS pages)
  file(READ ${FROM}/${page} text)
  string(REGEX REPLACE "${checkout_only}" "\\1" text "${text}")
  file(WRITE ${TO}/${page} "${text}")
endforeach()
