# The same file, prompt and level on this machine and on an emulated one of another architecture: the
# text and every log-probability must be the same, to the last bit, at the scalar level and at the
# best of both. Run by tools/dev: cmake -DHOST=PROGRAM -DNIBBLE=PROGRAM -DQEMU=... -DCPU=... -P this.
cmake_minimum_required(VERSION 3.25)

# told(OUT LEVEL COMMAND...): the text and the steps of `nibble run --json`, less what is of the moment.
function(told out level)
  execute_process(COMMAND ${ARGN} run --raw -p "Once upon a time" -n 24 --temp 0 -t 2 --json
                          --logprobs 5 --isa ${level}
                  RESULT_VARIABLE code OUTPUT_VARIABLE json ERROR_VARIABLE error)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN} failed (${code}):\n${error}")
  endif()
  string(JSON steps GET "${json}" steps)
  string(JSON count LENGTH "${json}" steps)
  string(JSON text GET "${json}" text)
  if(NOT count EQUAL 24)
    message(FATAL_ERROR "${ARGN} told ${count} steps, not 24: ${json}")
  endif()
  set(${out} "${text}\n${steps}" PARENT_SCOPE)
endfunction()

told(here scalar ${HOST})
foreach(level scalar auto)
  told(there ${level} ${QEMU} -cpu ${CPU} ${NIBBLE})
  if(NOT there STREQUAL here)
    message(FATAL_ERROR "${CPU} at ${level} told\n${there}\nand this machine\n${here}")
  endif()
endforeach()
message(STATUS "${CPU}: the text and 24 x 5 log-probabilities of this machine, bit for bit")
