# Warnings are errors. A target that holds only the flags keeps generated code, which is not ours to
# mend, free of them.
add_library(cryopod_warnings INTERFACE)
target_compile_options(cryopod_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

# What hack/stage installs, and what each kind of test needs: nobody waits for the rest.
add_custom_target(cryopod_programs)
add_custom_target(cryopod_unit_tests)
add_custom_target(cryopod_integration_tests)
# What a reader of sources needs beside them.
add_custom_target(cryopod_generated)

# What takes long is reading headers: once for some sources. A changed source is compiled with its neighbours. The presets for
# developers, and so CI, have each source by itself, which shows that it includes what it uses.
function(cryopod_compile_together name)
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${CRYOPOD_TOGETHER} UNITY_BUILD_BATCH_SIZE 8)
  if(CRYOPOD_TOGETHER)
    # A class of one source with a member of a type of the same source is no class of a header.
    target_compile_options(${name} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

# cryopod_module(NAME FLOOR n SOURCES … [USES …] [LIBRARIES …])
#
# A static library of floor n; a finer number puts a room between two storeys. USES names modules of
# lower floors, or of the same room (agent/archive/tar and agent/archive/store), which were added
# before; anything else stops the configuration. hack/check reads these calls: includes obey them,
# too. LIBRARIES names libraries that are not ours; they are not passed on to users.
function(cryopod_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FLOOR" "SOURCES;USES;LIBRARIES")
  if(NOT DEFINED arg_FLOOR OR NOT arg_SOURCES)
    message(FATAL_ERROR "cryopod_module(${name}): FLOOR and SOURCES are required")
  endif()
  file(RELATIVE_PATH room ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX MATCH "^(agent/[a-z]+|restore/runtime|[a-z]+)" room ${room})
  add_library(${name} STATIC ${arg_SOURCES})
  cryopod_compile_together(${name})
  set_target_properties(${name} PROPERTIES CRYOPOD_FLOOR ${arg_FLOOR} CRYOPOD_ROOM ${room})
  foreach(used IN LISTS arg_USES)
    cryopod_floor_of(used_floor ${name} ${used})
    get_target_property(used_room ${used} CRYOPOD_ROOM)
    if(NOT used_floor LESS arg_FLOOR AND NOT room STREQUAL used_room)
      message(FATAL_ERROR "${name} (floor ${arg_FLOOR}) may not use ${used} (floor ${used_floor})")
    endif()
  endforeach()
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_USES} PRIVATE ${arg_LIBRARIES} cryopod_warnings)
endfunction()

# cryopod_program(NAME FLOOR n SOURCES … [USES …] [LIBRARIES …] [DESTINATION dir]
#                 [FOR_TESTS|EMBEDDED])
#
# A program of floor n, installed into DESTINATION (bin unless told otherwise); FOR_TESTS, only where the
# component "tests" is asked for. Its main may use modules of its own floor: the program is the roof over
# them.
#
# EMBEDDED: another program has it in itself; it is not installed. Static and without sanitizers in every
# build, so it links no module: what it needs of those that it USES is named with target_sources().
function(cryopod_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "FOR_TESTS;EMBEDDED" "FLOOR;DESTINATION" "SOURCES;USES;LIBRARIES")
  if(NOT DEFINED arg_FLOOR OR NOT arg_SOURCES)
    message(FATAL_ERROR "cryopod_program(${name}): FLOOR and SOURCES are required")
  endif()
  if(NOT arg_DESTINATION)
    set(arg_DESTINATION bin)
  endif()
  add_executable(${name} ${arg_SOURCES})
  cryopod_compile_together(${name})
  foreach(used IN LISTS arg_USES)
    cryopod_floor_of(used_floor ${name} ${used})
    if(used_floor GREATER arg_FLOOR)
      message(FATAL_ERROR "${name} (floor ${arg_FLOOR}) may not use ${used} (floor ${used_floor})")
    endif()
  endforeach()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  if(arg_EMBEDDED)
    target_link_libraries(${name} PRIVATE cryopod_warnings)
    target_compile_options(${name} PRIVATE -fno-sanitize=all)
    target_link_options(${name} PRIVATE -fno-sanitize=all -static -s LINKER:--gc-sections)
    return()
  endif()
  target_link_libraries(${name} PRIVATE ${arg_USES} ${arg_LIBRARIES} cryopod_warnings)
  file(RELATIVE_PATH to_lib /${arg_DESTINATION} /lib)
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  if(arg_FOR_TESTS)
    install(TARGETS ${name} DESTINATION ${arg_DESTINATION} COMPONENT tests EXCLUDE_FROM_ALL)
  else()
    install(TARGETS ${name} DESTINATION ${arg_DESTINATION})
  endif()
  add_dependencies(cryopod_programs ${name})
  set_property(GLOBAL APPEND PROPERTY CRYOPOD_BUNDLED_PROGRAMS $<TARGET_FILE:${name}>)
endfunction()

# cryopod_plugin(NAME FLOOR n SOURCES … USES … DESTINATION dir)
#
# A library that a program of others loads, installed into DESTINATION. It fits into that program
# whatever it is linked with: it brings the C++ library along, shows only what is marked, and has no
# sanitizer. So it links no module: what it needs of those that it USES is named with target_sources().
function(cryopod_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FLOOR;DESTINATION" "SOURCES;USES")
  add_library(${name} MODULE ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE -fno-sanitize=all -ffunction-sections)
  target_link_options(${name} PRIVATE -fno-sanitize=all -static-libstdc++ -static-libgcc -s
    LINKER:-z,defs LINKER:--gc-sections LINKER:--exclude-libs,ALL)
  target_link_libraries(${name} PRIVATE cryopod_warnings)
  install(TARGETS ${name} DESTINATION ${arg_DESTINATION})
  add_dependencies(cryopod_programs ${name})
endfunction()

# cryopod_static_programs(NAME…)
#
# Links programs without any shared library. A dynamic start of one that uses the C++ library costs two
# milliseconds and more, which every probe of a pod, every checkpoint and every restore would pay.
function(cryopod_static_programs)
  if(CRYOPOD_SANITIZER)
    return()
  endif()
  foreach(program IN LISTS ARGN)
    set_target_properties(${program} PROPERTIES INSTALL_RPATH "")
    target_link_options(${program} PRIVATE -static LINKER:--gc-sections)
  endforeach()
endfunction()

function(cryopod_floor_of out name used)
  get_target_property(floor ${used} CRYOPOD_FLOOR)
  if(floor STREQUAL "floor-NOTFOUND")
    message(FATAL_ERROR "${name} uses ${used}, which is not a module; name it under LIBRARIES")
  endif()
  set(${out} ${floor} PARENT_SCOPE)
endfunction()

# cryopod_proto(NAME PROTO file.proto [GRPC])
#
# A static library of the code generated from one proto file, compiled without our warnings. Its
# header is "<folder of the proto from the root>/<file>.pb.h".
function(cryopod_proto name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "GRPC;LITE" "PROTO" "")
  set(proto ${CMAKE_CURRENT_SOURCE_DIR}/${arg_PROTO})
  file(RELATIVE_PATH relative ${PROJECT_SOURCE_DIR} ${proto})
  string(REGEX REPLACE "\\.proto$" "" stem ${relative})
  set(out ${PROJECT_BINARY_DIR}/generated)
  set(generated ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
  set(command protobuf::protoc -I ${PROJECT_SOURCE_DIR} --cpp_out=${out} ${proto})
  if(arg_GRPC)
    list(APPEND generated ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
    list(APPEND command --grpc_out=${out} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
  endif()
  file(MAKE_DIRECTORY ${out})
  add_custom_command(OUTPUT ${generated} COMMAND ${command} DEPENDS ${proto} VERBATIM)
  add_custom_target(${name}_code DEPENDS ${generated})
  add_dependencies(cryopod_generated ${name}_code)
  add_library(${name} STATIC ${generated})
  # A third less to compile, and nothing that is called often.
  if(CMAKE_CXX_FLAGS MATCHES "-O2")
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  if(arg_GRPC)
    target_link_libraries(${name} PUBLIC cryopod_grpc)
  elseif(arg_LITE)
    target_link_libraries(${name} PUBLIC cryopod_protobuf_lite)
  else()
    target_link_libraries(${name} PUBLIC cryopod_protobuf)
  endif()
endfunction()

# cryopod_test(NAME SOURCES … [USES …] [LIBRARIES …] [LABEL unit] [SHARDS 1])
#
# One GoogleTest program and one ctest, or SHARDS of them where its tests take long. What each of its
# tests took, and which were skipped, stands in test-reports/.
function(cryopod_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;SHARDS" "SOURCES;USES;LIBRARIES")
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_SHARDS)
    set(arg_SHARDS 1)
  endif()
  # Half of all code: who builds the programs need not wait for it.
  add_executable(${name} EXCLUDE_FROM_ALL ${arg_SOURCES})
  # A test is compiled more often than its own code would have to be fast. -pthread is among what a
  # precompiled header has to agree in, and some libraries bring it.
  target_compile_options(${name} PRIVATE -O0 -pthread)
  target_precompile_headers(${name} REUSE_FROM cryopod_test_headers)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_USES} ${arg_LIBRARIES} GTest::gtest GTest::gmock
    GTest::gtest_main cryopod_warnings)
  add_dependencies(cryopod_${arg_LABEL}_tests ${name})
  math(EXPR last "${arg_SHARDS} - 1")
  foreach(shard RANGE ${last})
    set(test ${name})
    if(last GREATER 0)
      set(test ${name}.${shard})
    endif()
    add_test(NAME ${test} COMMAND ${name})
    set(report ${PROJECT_BINARY_DIR}/test-reports/${arg_LABEL}/${test}.xml)
    set_tests_properties(${test} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 600 ENVIRONMENT
      "GTEST_TOTAL_SHARDS=${arg_SHARDS};GTEST_SHARD_INDEX=${shard};GTEST_OUTPUT=xml:${report}")
  endforeach()
endfunction()
