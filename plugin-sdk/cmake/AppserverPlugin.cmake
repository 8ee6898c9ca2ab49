# appserver_add_plugin(NAME SOURCES a.cpp ... [LIBS targets ...] [OUTPUT_NAME name] [OUTPUT_DIRECTORY dir])
#
# A plugin as target NAME, in file NAME.so (or OUTPUT_NAME.so), of C or C++20 sources, with every flag that a safe reload needs:
# one exported symbol, no symbol left unresolved, bound at load, a build id, debug information, no run path, the system's shared
# libstdc++. OUTPUT_DIRECTORY is by default APPSERVER_PLUGIN_DIRECTORY, or the current binary directory.

include_guard(GLOBAL)

function(appserver_add_plugin NAME)
  cmake_parse_arguments(PARSE_ARGV 1 PLUGIN "" "OUTPUT_NAME;OUTPUT_DIRECTORY" "SOURCES;LIBS")
  if(PLUGIN_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "appserver_add_plugin(${NAME}): unknown arguments ${PLUGIN_UNPARSED_ARGUMENTS}")
  elseif(NOT PLUGIN_SOURCES)
    message(FATAL_ERROR "appserver_add_plugin(${NAME}): give its sources: SOURCES ${NAME}.cpp")
  endif()
  if(NOT PLUGIN_OUTPUT_NAME)
    set(PLUGIN_OUTPUT_NAME ${NAME})
  endif()
  if(NOT PLUGIN_OUTPUT_DIRECTORY AND APPSERVER_PLUGIN_DIRECTORY)
    set(PLUGIN_OUTPUT_DIRECTORY ${APPSERVER_PLUGIN_DIRECTORY})
  elseif(NOT PLUGIN_OUTPUT_DIRECTORY)
    set(PLUGIN_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  endif()

  add_library(${NAME} MODULE ${PLUGIN_SOURCES})
  target_link_libraries(${NAME} PRIVATE appserver::sdk ${PLUGIN_LIBS})
  set_target_properties(${NAME} PROPERTIES
    PREFIX "" SUFFIX ".so" OUTPUT_NAME ${PLUGIN_OUTPUT_NAME}
    LIBRARY_OUTPUT_DIRECTORY $<1:${PLUGIN_OUTPUT_DIRECTORY}>
    POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    SKIP_BUILD_RPATH ON INSTALL_RPATH "" INSTALL_RPATH_USE_LINK_PATH OFF)
  _appserver_plugin_languages(${NAME})

  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  target_compile_options(${NAME} PRIVATE -g)
  target_link_options(${NAME} PRIVATE
    -Wl,--version-script=${map} -Wl,-z,now -Wl,-z,relro -Wl,--build-id=sha1)
  set_property(TARGET ${NAME} APPEND PROPERTY LINK_DEPENDS ${map})
  _appserver_plugin_sanitizers(${NAME})
  _appserver_plugin_modes(${NAME} $<STREQUAL:${PLUGIN_OUTPUT_DIRECTORY},${CMAKE_CURRENT_BINARY_DIR}>)
  cmake_language(EVAL CODE "cmake_language(DEFER CALL _appserver_plugin_check ${NAME})")
endfunction()

# With a umask of 002 others could write to what is built, and a daemon that watches the folder takes nothing of the kind. A
# folder of the project's own choice is left as it is, and so is one of another account, which only that may change.
function(_appserver_plugin_modes NAME OWN_FOLDER)
  add_custom_command(TARGET ${NAME} POST_BUILD VERBATIM
    COMMAND chmod go-w $<TARGET_FILE:${NAME}>
    COMMAND sh -c "[ ! -O \"$1\" ] || chmod go-w \"$1\"" sh $<${OWN_FOLDER}:$<TARGET_FILE_DIR:${NAME}>>)
endfunction()

# The standards, for the languages that the project has: a plugin in C needs no C++ compiler.
function(_appserver_plugin_languages NAME)
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("C" IN_LIST languages)
    target_compile_features(${NAME} PRIVATE c_std_11)
  endif()
  if("CXX" IN_LIST languages)
    target_compile_features(${NAME} PRIVATE cxx_std_20)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
    endif()
  endif()
endfunction()

# A sanitizer's symbols come from the host, built with the same one; APPSERVER_SANITIZE names it. Without one, a symbol that
# nothing provides is an error now, not when the plugin is loaded.
function(_appserver_plugin_sanitizers NAME)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
  set(flags "${CMAKE_C_FLAGS} ${CMAKE_CXX_FLAGS} ${CMAKE_C_FLAGS_${config}} ${CMAKE_CXX_FLAGS_${config}}")
  if(APPSERVER_SANITIZE)
    target_compile_options(${NAME} PRIVATE -fsanitize=${APPSERVER_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(${NAME} PRIVATE -fsanitize=${APPSERVER_SANITIZE})
  elseif(NOT flags MATCHES "-fsanitize=")
    target_link_options(${NAME} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# Runs at the end of the directory, when the target has all its options.
function(_appserver_plugin_check NAME)
  get_target_property(flags ${NAME} LINK_OPTIONS)
  get_target_property(libs ${NAME} LINK_LIBRARIES)
  string(JOIN " " all ${flags} ${libs} ${CMAKE_C_FLAGS} ${CMAKE_CXX_FLAGS} ${CMAKE_MODULE_LINKER_FLAGS})
  if(all MATCHES "-static-lib(stdc\\+\\+|gcc)")
    message(FATAL_ERROR "plugin ${NAME}: ${CMAKE_MATCH_0} makes a second C++ runtime in the worker, which breaks exceptions; "
                        "link the shared one")
  elseif(all MATCHES "-rpath[=,]|-R[,/]")
    message(FATAL_ERROR "plugin ${NAME}: a run path does not hold, because workers load a copy of the file; "
                        "link what it needs statically, or install it for the system")
  endif()
endfunction()
