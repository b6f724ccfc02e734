# Build rules shared by every room of the house.

find_program(DOTAGENT_CCACHE ccache)
if(DOTAGENT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the checkout count as relative, so that a second clone builds from the first one's cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=true ${DOTAGENT_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()
find_program(DOTAGENT_MOLD mold)
if(DOTAGENT_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Warnings for our own code only; generated code does not link this.
add_library(dotagent_flags INTERFACE)
target_compile_options(dotagent_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  $<$<BOOL:${DOTAGENT_WERROR}>:-Werror>)
target_include_directories(dotagent_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_link_libraries(dotagent_flags INTERFACE Threads::Threads)

add_compile_options(-fstack-protector-strong -D_GLIBCXX_ASSERTIONS -fno-omit-frame-pointer)
if(DOTAGENT_SANITIZE)
  add_compile_options(-fsanitize=${DOTAGENT_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DOTAGENT_SANITIZE})
  if(DOTAGENT_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC warns that the sanitizer does not see Asio's fences, beside which Asio has locks of its own.
    add_compile_options(-Wno-tsan)
  endif()
endif()

# dotagent_library(ROOM [DEPS target...]): the library of the current folder, made of every .cc in it
# but main.cc. `dotagent_library(crypto DEPS dotagent::base)` gives dotagent::crypto. A room names only rooms
# of floors below its own (CONTRIBUTING.md); scripts/check-floors refuses an include that does not.
function(dotagent_library room)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(dotagent_${room} STATIC ${sources})
  add_library(dotagent::${room} ALIAS dotagent_${room})
  target_link_libraries(dotagent_${room} PUBLIC ${ARG_DEPS} PRIVATE dotagent_flags)
  target_include_directories(dotagent_${room} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

# dotagent_binary(NAME [DEPS target...]): an executable made of main.cc in the current folder.
function(dotagent_binary name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} main.cc)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} dotagent_flags)
endfunction()

# dotagent_unit_test(ROOM [DEPS target...]): one test program of every *_test.cc in the current folder; each TEST
# is a ctest test of its own. A sanitizer makes some of them ten times slower, so they get more time with one.
function(dotagent_unit_test room)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(unit_${room} ${sources})
  target_link_libraries(unit_${room} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main dotagent_flags)
  target_compile_definitions(unit_${room} PRIVATE DOTAGENT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set(seconds 120)
  if(DOTAGENT_SANITIZE)
    set(seconds 480)
  endif()
  gtest_discover_tests(unit_${room} TEST_PREFIX "unit/${room}/" DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS unit TIMEOUT ${seconds})
endfunction()
