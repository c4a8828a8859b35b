# Makes the Debian packages: cmake --workflow --preset package
option(DISKALLOC_PACKAGES "Install also what belongs into packages only: /etc, and the documentation for Debian" OFF)
if(NOT DISKALLOC_PACKAGES)
  return()
endif()

set(CPACK_GENERATOR DEB)
# Each package has its own summary.  CMake would put that of the project before it.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_NAME diskalloc)
# Whoever builds packages for others answers for them: named as for Debian's own tools.
if(DEFINED ENV{DEBFULLNAME} AND DEFINED ENV{DEBEMAIL})
  set(contact "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
else()
  set(contact "The diskalloc authors <diskalloc@example.org>")
  message(NOTICE "The packages name no real maintainer: set DEBFULLNAME and DEBEMAIL, or -D CPACK_PACKAGE_CONTACT=, before you pass them on.")
endif()
set(CPACK_PACKAGE_CONTACT "${contact}" CACHE STRING "Who answers for the packages: Name <address>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL daemon library development ctl python)
set(CPACK_DEB_COMPONENT_INSTALL ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1 CACHE STRING "Revision of the Debian packages")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(release ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

# package(COMPONENT NAME SECTION SUMMARY TEXT): makes the package NAME of what is installed for COMPONENT
function(package component name section summary text)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${text}" PARENT_SCOPE)
  install(FILES ${PROJECT_SOURCE_DIR}/systemd/debian/copyright DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${name}
    COMPONENT ${component})
  install(FILES ${PROJECT_BINARY_DIR}/systemd/changelog.Debian DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${name}
    COMPONENT ${component})
endfunction()

package(daemon diskallocd admin "memory for really big vectors, on disk: the daemon"
"diskallocd hands out memory whose bytes are blocks of files on disk, to many
users within limits, so that a full disk is an error code and not a program
that is killed. Programs use it through libdiskalloc-client.
.
It is started on demand, and can be restarted or upgraded while programs go
on with their memory.")
package(library libdiskalloc-client0 libs "memory for really big vectors, on disk: the library"
"A program gets vectors far larger than its memory: plain arrays whose address
never changes, which grow in place, and whose elements lie in files that a
daemon or the library itself makes.")
package(development libdiskalloc-client-dev libdevel "memory for really big vectors, on disk: headers"
"The headers <diskalloc/client.h>, <diskalloc/vec.h> and others, and what
pkg-config and CMake need to link programs with libdiskalloc-client.")
package(ctl diskallocctl admin "memory for really big vectors, on disk: administration"
"diskallocctl shows what a diskallocd holds and for whom, and sets quotas while
it runs.
.
diskallocctl run puts the large blocks of memory of any program on disk,
without a change to the program, and also without a daemon.")
package(python python3-diskalloc python "memory for really big vectors, on disk: Python"
"Arrays and strings larger than memory for Python: they grow in place and never
move, so that numpy arrays over them stay valid, and other processes attach
them without copying.")

# The same sources make the same packages: their times are that of the release, unless SOURCE_DATE_EPOCH is set.
set(released 1795327200) # of the version in CMakeLists.txt, in seconds since 1970
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  set(released $ENV{SOURCE_DATE_EPOCH})
endif()
set(CPACK_DISKALLOC_RELEASED ${released})
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/systemd/debian/times.cmake)
execute_process(COMMAND date --utc --date @${released} "+%a, %d %b %Y %H:%M:%S +0000"
  COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE release_date OUTPUT_STRIP_TRAILING_WHITESPACE)
configure_file(systemd/debian/changelog.in systemd/changelog.Debian @ONLY)

set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_DAEMON_PACKAGE_RECOMMENDS diskallocctl)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libdiskalloc-client0 (= ${release})")
set(CPACK_DEBIAN_CTL_PACKAGE_SUGGESTS diskallocd)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= 3.9), libdiskalloc-client0 (>= ${release})")
set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS python3-numpy)
set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS OFF)

set(debian ${PROJECT_SOURCE_DIR}/systemd/debian)
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA ${debian}/postinst ${debian}/prerm ${debian}/postrm ${debian}/conffiles)
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${debian}/python/postinst ${debian}/python/prerm)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${debian}/triggers ${debian}/shlibs)
# Documents: for administrators with the daemon, for programmers with the headers.
install(FILES README.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/diskallocd COMPONENT daemon)
set(documents ${CMAKE_INSTALL_DATAROOTDIR}/doc/libdiskalloc-client-dev)
install(FILES README.md proto/diskalloc.proto DESTINATION ${documents} COMPONENT development)
install(FILES CHANGELOG.md DESTINATION ${documents} RENAME changelog COMPONENT development)
install(DIRECTORY client/examples DESTINATION ${documents} COMPONENT development FILES_MATCHING PATTERN "*.[ch]" PATTERN "*.py")
# debian/conffiles lists this file, so that dpkg does not overwrite it when it was edited.
install(FILES systemd/diskallocd.conf DESTINATION /etc/diskalloc COMPONENT daemon)
install(DIRECTORY DESTINATION /etc/diskalloc/diskallocd.conf.d COMPONENT daemon)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/systemd/debian/compress.cmake)
include(CPack)
