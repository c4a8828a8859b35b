# Runs before the packages are made: compresses the manual pages and changelogs, as Debian requires.
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/man*/*)
file(GLOB_RECURSE changelogs ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/doc/*/changelog.Debian
  ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/doc/*/changelog)
list(FILTER pages EXCLUDE REGEX "\\.gz$")
if(pages OR changelogs)
  execute_process(COMMAND gzip -9nf ${pages} ${changelogs} COMMAND_ERROR_IS_FATAL ANY)
endif()
