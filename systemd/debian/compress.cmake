# Runs before the packages are made: compresses the manual pages and changelogs, as Debian requires, and gives all files
# the time of the release and directories their mode.
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/man*/*)
file(GLOB_RECURSE changelogs ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/doc/*/changelog.Debian
  ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/doc/*/changelog)
list(FILTER pages EXCLUDE REGEX "\\.gz$")
if(pages OR changelogs)
  execute_process(COMMAND gzip -9nf ${pages} ${changelogs} COMMAND_ERROR_IS_FATAL ANY)
endif()
# Whatever the umask of whoever builds: everybody may look into the directories.
execute_process(COMMAND find ${CPACK_TEMPORARY_DIRECTORY} -type d -exec chmod 755 {} + COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE staged LIST_DIRECTORIES true ${CPACK_TEMPORARY_DIRECTORY}/*)
execute_process(COMMAND touch --no-dereference --date @$ENV{SOURCE_DATE_EPOCH} ${staged} COMMAND_ERROR_IS_FATAL ANY)
