# cmake -DPRINT=program -DGOLDEN=file -P compare_layout.cmake
execute_process(COMMAND ${PRINT} OUTPUT_VARIABLE now COMMAND_ERROR_IS_FATAL ANY)
file(READ ${GOLDEN} recorded)
if(NOT now STREQUAL recorded)
  message(FATAL_ERROR "the ABI's layout is not the one in ${GOLDEN}. Fields may only be appended; then record it with\n"
                      "  ${PRINT} > ${GOLDEN}\nIt is now:\n${now}")
endif()
