# Tests from outside, in Python: a client written from the .proto alone, and the command-line tool.
find_program(PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(PYTHON3)
  set(wire_tests test_wire test_wire_quota test_wire_refusals)
  set(ctl_tests test_ctl test_ctl_admin)
  foreach(name IN LISTS wire_tests)
    add_test(NAME ${name} COMMAND ${PYTHON3} -B ${CMAKE_CURRENT_SOURCE_DIR}/${name}.py $<TARGET_FILE:diskallocd>)
  endforeach()
  foreach(name IN LISTS ctl_tests)
    add_test(NAME ${name} COMMAND ${PYTHON3} -B ${CMAKE_CURRENT_SOURCE_DIR}/${name}.py
      $<TARGET_FILE:diskallocd> $<TARGET_FILE:diskallocctl>)
  endforeach()
  set_tests_properties(${wire_tests} ${ctl_tests} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
