# Runs the program on an emulated CPU and elsewhere, and compares. Run by ctest:
# cmake -DNIBBLE=... -DQEMU=... -DCPU=Nehalem -DISA=scalar -DBELOW=... -DLACKS=avx2 -DELSEWHERE=...
#       -DCONTROL=... -P this.
# ISA is the best level that the emulated CPU has, BELOW those that it may use besides, LACKS one that
# it does not have; ELSEWHERE runs the program on a machine with every level (empty: this one);
# CONTROL (optional) is a program that uses what the CPU lacks without asking and must be killed there.
cmake_minimum_required(VERSION 3.25)

set(emulated ${QEMU} -cpu ${CPU} ${NIBBLE})
set(story run --raw -p "Once upon a time" -n 8 --temp 0 -t 2)

function(must out what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE error)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${what} failed (${code}):\n${text}\n${error}")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

if(CONTROL)
  execute_process(COMMAND ${QEMU} -cpu ${CPU} ${CONTROL} RESULT_VARIABLE code OUTPUT_QUIET
                  ERROR_QUIET)
  if(NOT code MATCHES "[Ii]llegal")
    message(FATAL_ERROR "${CONTROL} on the emulated ${CPU} ended with \"${code}\", not of an illegal "
                        "instruction: this test proves nothing")
  endif()
endif()

must(json "cpu --json on ${CPU}" ${emulated} cpu --json)
string(JSON count LENGTH "${json}" kernels)
set(found FALSE)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON isa GET "${json}" kernels ${i} isa)
  string(JSON what GET "${json}" kernels ${i} kernel)
  if(isa STREQUAL ISA)
    set(found TRUE)
  elseif(NOT isa IN_LIST BELOW)
    message(FATAL_ERROR "${CPU} has no more than ${ISA}, but ${what} chose ${isa}")
  endif()
endforeach()
if(NOT found)
  message(FATAL_ERROR "no kernel of ${ISA} was chosen on ${CPU}:\n${json}")
endif()

must(there "story on ${CPU}" ${emulated} ${story})
must(here "story elsewhere, ${ISA}" ${CMAKE_COMMAND} -E env NIBBLE_ISA=${ISA} ${ELSEWHERE} ${NIBBLE}
     ${story})
must(best "story elsewhere" ${ELSEWHERE} ${NIBBLE} ${story})
if(there STREQUAL "")
  message(FATAL_ERROR "the story on ${CPU} is empty")
endif()
foreach(text IN ITEMS "${here}" "${best}")
  if(NOT there STREQUAL text)
    message(FATAL_ERROR "${CPU} wrote \"${there}\", another machine \"${text}\"")
  endif()
endforeach()

# A level that the machine lacks is refused with the list of those it has, not tried.
if(LACKS)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env NIBBLE_ISA=${LACKS} ${emulated} ${story}
                  RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE error)
  if(NOT code EQUAL 64 OR NOT error MATCHES "scalar")
    message(FATAL_ERROR "NIBBLE_ISA=${LACKS} on ${CPU} gave ${code}: ${error}")
  endif()
endif()
