# Runs the program on an emulated CPU and natively, and compares. Run by ctest:
# cmake -DNIBBLE=... -DQEMU=... -DCPU=Nehalem -DISA=scalar -DCONTROL=... -P this.
# ISA is the best level that the emulated CPU has; CONTROL (optional) is a program that uses AVX2
# without asking and must be killed there.
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
  if(code EQUAL 0)
    message(FATAL_ERROR "the emulated ${CPU} runs AVX2 instructions: this test proves nothing")
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
  elseif(NOT isa STREQUAL "scalar")
    message(FATAL_ERROR "${CPU} has no more than ${ISA}, but ${what} chose ${isa}")
  endif()
endforeach()
if(NOT found)
  message(FATAL_ERROR "no kernel of ${ISA} was chosen on ${CPU}:\n${json}")
endif()

must(there "story on ${CPU}" ${emulated} ${story})
must(here "story at home, ${ISA}" ${CMAKE_COMMAND} -E env NIBBLE_ISA=${ISA} ${NIBBLE} ${story})
must(best "story at home" ${NIBBLE} ${story})
if(there STREQUAL "")
  message(FATAL_ERROR "the story on ${CPU} is empty")
endif()
foreach(text IN ITEMS "${here}" "${best}")
  if(NOT there STREQUAL text)
    message(FATAL_ERROR "${CPU} wrote \"${there}\", this machine \"${text}\"")
  endif()
endforeach()

# A level that the machine lacks is refused with the list of those it has, not tried.
execute_process(COMMAND ${CMAKE_COMMAND} -E env NIBBLE_ISA=avx512vnni ${emulated} ${story}
                RESULT_VARIABLE code OUTPUT_QUIET ERROR_VARIABLE error)
if(NOT code EQUAL 64 OR NOT error MATCHES "scalar")
  message(FATAL_ERROR "NIBBLE_ISA=avx512vnni on ${CPU} gave ${code}: ${error}")
endif()
