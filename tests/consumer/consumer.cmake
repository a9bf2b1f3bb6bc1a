# Installs the build, moves the tree, and builds consumer.cpp against it, once with find_package and
# once with pkg-config. Run by ctest: cmake -DBUILD=... -DWORK=... -DCXX=... -DVERSION=...
# -DTOOLCHAIN=... -DEMULATOR=... -P this; of a cross build, its toolchain file and what runs its programs.
cmake_minimum_required(VERSION 3.25)
set(source ${CMAKE_CURRENT_LIST_DIR})

function(must what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${what} failed (${code}):\n${out}")
  endif()
  set(output "${out}" PARENT_SCOPE)
endfunction()

function(must_not what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
  if(code EQUAL 0)
    message(FATAL_ERROR "${what} succeeded and must not")
  endif()
endfunction()

function(expect_version program)
  must("${program}" ${EMULATOR} ${program})
  if(NOT output STREQUAL "${VERSION}\n")
    message(FATAL_ERROR "${program} printed \"${output}\", not ${VERSION}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/nowhere)
must("install" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/prefix)

set(configure ${CMAKE_COMMAND} -G Ninja -S ${source} -DCMAKE_CXX_COMPILER=${CXX})
if(TOOLCHAIN)
  list(APPEND configure -DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN})
  include(${TOOLCHAIN})  # where pkg-config looks
endif()
must("find_package" ${configure} -B ${WORK}/by_cmake -DCMAKE_PREFIX_PATH=${WORK}/prefix
     -DNIBBLE_WANTED=${VERSION})
must("build with find_package" ${CMAKE_COMMAND} --build ${WORK}/by_cmake)
expect_version(${WORK}/by_cmake/consumer)
# Controls: an empty prefix and a version that does not exist.
must_not("find_package in an empty prefix" ${configure} -B ${WORK}/control
         -DCMAKE_PREFIX_PATH=${WORK}/nowhere)
must_not("find_package of version 99" ${configure} -B ${WORK}/control
         -DCMAKE_PREFIX_PATH=${WORK}/prefix -DNIBBLE_WANTED=99)

file(GLOB_RECURSE pc ${WORK}/prefix/nibble.pc)
cmake_path(GET pc PARENT_PATH pc_dir)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
must("pkg-config" pkg-config --cflags --libs nibble)
separate_arguments(flags UNIX_COMMAND "${output}")
must("build with pkg-config" ${CXX} -std=c++20 ${source}/consumer.cpp -o ${WORK}/by_pkg_config
     ${flags})
expect_version(${WORK}/by_pkg_config)
must("pkg-config's version" pkg-config --modversion nibble)
if(NOT output STREQUAL "${VERSION}\n")
  message(FATAL_ERROR "nibble.pc says ${output}, not ${VERSION}")
endif()

# The installed program finds its model.
must("installed program" ${EMULATOR} ${WORK}/prefix/bin/nibble run --raw -p "Once upon a time" -n 4 --temp 0)
