# cmake -DSDK=plugin-sdk -DSCRATCH=dir -DCHECK=check_plugin_file.cmake [-DREADELF=readelf] -DCATCH=folder-of-Catch2Config.cmake
#   -DGENERATOR=Ninja -DC_COMPILER=cc -DCXX_COMPILER=c++ -P out_of_tree.cmake
# Installs the SDK alone, then builds a copy of its template and runs its tests, builds a plugin of a project without C++, and
# a program that is no plugin, against it. All with a umask of 002, as some systems give it to each account.
set(ENV{CC} ${C_COMPILER})
set(ENV{CXX} ${CXX_COMPILER})
set(ENV{CMAKE_GENERATOR} ${GENERATOR})

function(run)
  execute_process(COMMAND sh -c "umask 002; exec \"$@\"" sh ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# As a daemon that watches a folder wants it.
function(check_only_owner_writes)
  execute_process(COMMAND find ${ARGN} -maxdepth 0 -perm /022 OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)
  if(found)
    message(FATAL_ERROR "others can write to:\n${found}")
  endif()
endfunction()

# The SDK is found where it was just installed and nowhere else, Catch2 where this build has it.
function(build SOURCE)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B ${SOURCE}/build -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix
    -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF ${ARGN})
  run(${CMAKE_COMMAND} --build ${SOURCE}/build)
endfunction()

function(check FILE)
  if(NOT EXISTS ${FILE})
    message(FATAL_ERROR "${FILE} was not built")
  elseif(READELF)
    run(${CMAKE_COMMAND} -DREADELF=${READELF} -DPLUGIN=${FILE} -P ${CHECK})
  endif()
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} -S ${SDK} -B ${SCRATCH}/sdk -DCMAKE_INSTALL_PREFIX=${SCRATCH}/prefix)
run(${CMAKE_COMMAND} --install ${SCRATCH}/sdk)

file(COPY ${SCRATCH}/prefix/share/appserver-sdk/template/ DESTINATION ${SCRATCH}/my_plugin)
build(${SCRATCH}/my_plugin -DCatch2_DIR=${CATCH})
run(${CMAKE_CTEST_COMMAND} --test-dir ${SCRATCH}/my_plugin/build --output-on-failure --no-tests=error)
check(${SCRATCH}/my_plugin/build/my_plugin.so)
check_only_owner_writes(${SCRATCH}/my_plugin/build ${SCRATCH}/my_plugin/build/my_plugin.so)
# Only root can give a folder to another account, who may share it with whom it likes.
execute_process(COMMAND id -u OUTPUT_VARIABLE us COMMAND_ERROR_IS_FATAL ANY)
if(us EQUAL 0)
  run(chown 65534 ${SCRATCH}/my_plugin/build)
  run(chmod g+w ${SCRATCH}/my_plugin/build)
  file(REMOVE ${SCRATCH}/my_plugin/build/my_plugin.so)
  run(${CMAKE_COMMAND} --build ${SCRATCH}/my_plugin/build --target my_plugin)
  check_only_owner_writes(${SCRATCH}/my_plugin/build/my_plugin.so)
  execute_process(COMMAND find ${SCRATCH}/my_plugin/build -maxdepth 0 -perm -020 OUTPUT_VARIABLE shared COMMAND_ERROR_IS_FATAL ANY)
  if(NOT shared)
    message(FATAL_ERROR "the folder of another account was taken from its group")
  endif()
endif()

file(COPY ${SDK}/../plugins/hello-c/hello-c.c DESTINATION ${SCRATCH}/only_c)
file(WRITE ${SCRATCH}/only_c/CMakeLists.txt
  "cmake_minimum_required(VERSION 3.25)\n"
  "project(only_c C)\n"
  "find_package(appserver-sdk 0.1 REQUIRED)\n"
  "appserver_add_plugin(plugin_only_c SOURCES hello-c.c OUTPUT_NAME only_c OUTPUT_DIRECTORY \${CMAKE_BINARY_DIR}/out)\n")
build(${SCRATCH}/only_c)
check(${SCRATCH}/only_c/build/out/only_c.so)

file(WRITE ${SCRATCH}/remote/main.cpp
  "#include <appserver/remote_gateway.hpp>\n"
  "int main(int, char** argv) {\n"
  "  try {\n"
  "    appserver::RemoteGateway(argv[0], \"gate\").send_to_all(\"hello\");\n"
  "    return 1;\n"
  "  } catch (const appserver::RemoteGatewayError& error) {\n"
  "    return error.status() == 0 ? 0 : 1;\n"
  "  }\n"
  "}\n")
file(WRITE ${SCRATCH}/remote/CMakeLists.txt
  "cmake_minimum_required(VERSION 3.25)\n"
  "project(remote CXX)\n"
  "find_package(appserver-sdk 0.1 REQUIRED)\n"
  "add_executable(remote main.cpp)\n"
  "set_target_properties(remote PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)\n"
  "target_link_libraries(remote PRIVATE appserver::sdk)\n")
build(${SCRATCH}/remote)
run(${SCRATCH}/remote/build/remote)
