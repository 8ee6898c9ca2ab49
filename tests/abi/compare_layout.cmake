# cmake -DPRINT=program -DGOLDEN=file -DINCLUDE=folder -P compare_layout.cmake: and every struct of the headers is recorded.
execute_process(COMMAND ${PRINT} OUTPUT_VARIABLE now COMMAND_ERROR_IS_FATAL ANY)
file(READ ${GOLDEN} recorded)
if(NOT now STREQUAL recorded)
  message(FATAL_ERROR "the ABI's layout is not the one in ${GOLDEN}. Fields may only be appended; then record it with\n"
                      "  ${PRINT} > ${GOLDEN}\nIt is now:\n${now}")
endif()

file(GLOB headers ${INCLUDE}/appserver/*.h ${INCLUDE}/appserver/abi/*.h)
foreach(header ${headers})
  file(STRINGS ${header} structs REGEX "^} appserver_[a-z_]+\;")
  foreach(line ${structs})
    string(REGEX MATCH "appserver_[a-z_]+" name "${line}")
    if(name AND NOT recorded MATCHES "(^|\n)${name} size ")
      message(FATAL_ERROR "${name} of ${header} is not in layout.c")
    endif()
  endforeach()
endforeach()
