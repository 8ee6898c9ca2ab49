# A room is one folder and one target. Its headers are reached as "room/header.hpp" through an include root that holds this
# one room only: a target reaches the rooms that it names in DEPENDS and those that they name, and no other.

add_library(appserver_flags INTERFACE)
target_compile_options(appserver_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -fvisibility=hidden
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wnon-virtual-dtor -Wold-style-cast>
  # gcc 12 sees these, falsely, in std::variant and std::string at -O2; clang's build looks for them, too.
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds>
  $<$<CONFIG:Release,RelWithDebInfo>:-fstack-protector-strong>
  -fno-omit-frame-pointer)
target_compile_definitions(appserver_flags INTERFACE
  BOOST_ASIO_NO_DEPRECATED)
target_link_options(appserver_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
if(NOT APPSERVER_SANITIZE)
  target_compile_definitions(appserver_flags INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
else()
  target_compile_options(appserver_flags INTERFACE -fsanitize=${APPSERVER_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(appserver_flags INTERFACE -fsanitize=${APPSERVER_SANITIZE})
  # It also takes the files of a unity build for headers of it.
  target_compile_options(appserver_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  # gcc warns of each fence in Asio, because ThreadSanitizer does not model them.
  target_compile_options(appserver_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-tsan>)
endif()

# appserver_room(NAME SOURCES a.cpp ... DEPENDS rooms-or-targets... [ASIO])
# ASIO: this room speaks Asio; it shares one precompiled header with the others that do.
function(appserver_room NAME)
  cmake_parse_arguments(ROOM "ASIO" "" "SOURCES;DEPENDS" ${ARGN})
  set(root ${PROJECT_BINARY_DIR}/rooms/${NAME})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${NAME} SYMBOLIC)
  set(target appserver_${NAME})
  if(ROOM_SOURCES)
    add_library(${target} STATIC ${ROOM_SOURCES})
    target_include_directories(${target} PUBLIC ${root})
    target_link_libraries(${target} PUBLIC ${ROOM_DEPENDS} PRIVATE appserver_flags)
    if(ROOM_ASIO)
      target_link_libraries(${target} PUBLIC appserver_asio)
      target_precompile_headers(${target} REUSE_FROM appserver_asio)
      target_compile_options(${target} PRIVATE -Winvalid-pch)
    endif()
  else()
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE ${root})
    target_link_libraries(${target} INTERFACE ${ROOM_DEPENDS})
  endif()
endfunction()
