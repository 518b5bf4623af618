# SPDX-License-Identifier: Apache-2.0
# One library target per folder of src/, one test binary per folder of tests/.

find_program(VELOZ_CCACHE ccache)
if(VELOZ_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VELOZ_CCACHE})
endif()

# Flags every target of ours is compiled with.
add_library(veloz_flags INTERFACE)
target_compile_features(veloz_flags INTERFACE cxx_std_20)
target_compile_definitions(veloz_flags INTERFACE VELOZ_VERSION="${PROJECT_VERSION}")
# No contraction of a*b+c behind our back: the order and rounding of every sum is written out.
target_compile_options(veloz_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(VELOZ_WARNINGS_AS_ERRORS)
  target_compile_options(veloz_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wconversion -Wshadow -Werror>)
endif()
if(VELOZ_UNITY)
  # GCC takes a file that another includes for a header, whose types must not have members that only a file knows.
  target_compile_options(veloz_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
endif()
set(VELOZ_TEST_TIMEOUT_S 600)
if(VELOZ_SANITIZE)
  set(VELOZ_TEST_TIMEOUT_S 4800)  # e2e took 1263 s under TSan on two cores
  target_compile_options(veloz_flags INTERFACE -fsanitize=${VELOZ_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  target_link_options(veloz_flags INTERFACE -fsanitize=${VELOZ_SANITIZE})
endif()

# Compiles several files of a target at a time: what each would parse and instantiate by itself, libraries' templates above
# all, is most of the time a build takes. Names in anonymous namespaces must then differ within a target.
function(veloz_unite target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${VELOZ_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# veloz_room(<room> [SEPARATE] SOURCES ... HEADERS ... [DEPS rooms...] [LIBS third-party targets...])
# A header-only room has no SOURCES. Which DEPS are allowed is written in src/rooms.txt and held by a test. SEPARATE: its
# files are alike, and use the same names.
function(veloz_room room)
  cmake_parse_arguments(ROOM "SEPARATE" "" "SOURCES;HEADERS;DEPS;LIBS" ${ARGN})
  add_library(veloz_${room} STATIC ${ROOM_SOURCES})
  target_sources(veloz_${room} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src
                                      FILES ${ROOM_HEADERS})
  set_target_properties(veloz_${room} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON
                                                 POSITION_INDEPENDENT_CODE ON)
  target_include_directories(veloz_${room} PUBLIC ${PROJECT_SOURCE_DIR}/include)
  if(NOT ROOM_SEPARATE)
    veloz_unite(veloz_${room})
  endif()
  list(TRANSFORM ROOM_DEPS PREPEND veloz_ OUTPUT_VARIABLE dep_targets)
  target_link_libraries(veloz_${room} PUBLIC ${dep_targets} PRIVATE veloz_flags ${ROOM_LIBS})
endfunction()

# veloz_test(<room> SOURCES ... [DEPS rooms...] [LIBS ...]): one GoogleTest binary, test_<room>.
function(veloz_test room)
  cmake_parse_arguments(TEST "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(test_${room} ${TEST_SOURCES})
  veloz_unite(test_${room})
  list(TRANSFORM TEST_DEPS PREPEND veloz_ OUTPUT_VARIABLE dep_targets)
  target_link_libraries(test_${room} PRIVATE ${dep_targets} veloz_flags fmt::fmt GTest::gtest_main
                                             ${TEST_LIBS})
  target_include_directories(test_${room} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(test_${room} PRIVATE
    VELOZ_TEST_DATA_DIR="${PROJECT_SOURCE_DIR}/tests" VELOZ_MODELS_DIR="${PROJECT_SOURCE_DIR}/models")
  add_test(NAME ${room} COMMAND test_${room})
  set_tests_properties(${room} PROPERTIES TIMEOUT ${VELOZ_TEST_TIMEOUT_S})
endfunction()
