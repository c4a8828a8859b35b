# Installs the manual pages, each under all names that its section NAME has, and makes HTML of them: cmake --build DIR --target html

# man_pages(COMPONENT PAGE...): installs pages for the package COMPONENT
function(man_pages component)
  foreach(page IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH page)
    cmake_path(GET page FILENAME file)
    string(REGEX MATCH "[1-8]$" section ${file})
    set(directory ${CMAKE_INSTALL_MANDIR}/man${section})
    install(FILES ${page} DESTINATION ${directory} COMPONENT ${component})
    set_property(GLOBAL APPEND PROPERTY DISKALLOC_PAGES ${page})
    # The names end with the line of the description, .Nd.  A page that is made by the build has one name.
    set(lines "")
    if(EXISTS ${page})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
      file(STRINGS ${page} lines REGEX "^\\.N[md] ")
    endif()
    foreach(line IN LISTS lines)
      if(NOT line MATCHES "^\\.Nm ([^ ]+)")
        break()
      endif()
      set(name ${CMAKE_MATCH_1}.${section})
      if(NOT name STREQUAL file)
        set(alias ${CMAKE_CURRENT_BINARY_DIR}/man/${name})
        file(GENERATE OUTPUT ${alias} CONTENT ".so man${section}/${file}\n")
        install(FILES ${alias} DESTINATION ${directory} COMPONENT ${component})
      endif()
    endforeach()
  endforeach()
endfunction()

# html_pages(): the target html, of all pages so far
function(html_pages)
  find_program(PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
  get_property(pages GLOBAL PROPERTY DISKALLOC_PAGES)
  if(PYTHON3)
    add_custom_target(html
      COMMAND ${PYTHON3} -B ${PROJECT_SOURCE_DIR}/systemd/html_pages ${PROJECT_BINARY_DIR}/html ${pages}
      DEPENDS ${pages}
      COMMENT "Making HTML of the manual pages: html/index.html"
      VERBATIM)
  endif()
endfunction()
