# Tests from outside, in Python: a client written from the .proto alone, and the command-line tool.
find_program(PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(PYTHON3)
  foreach(name IN ITEMS test_wire test_wire_refusals)
    add_test(NAME ${name} COMMAND ${PYTHON3} -B ${CMAKE_CURRENT_SOURCE_DIR}/${name}.py $<TARGET_FILE:diskallocd>)
  endforeach()
  add_test(NAME test_ctl COMMAND ${PYTHON3} -B ${CMAKE_CURRENT_SOURCE_DIR}/test_ctl.py
    $<TARGET_FILE:diskallocd> $<TARGET_FILE:diskallocctl>)
  set_tests_properties(test_wire test_wire_refusals test_ctl PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
