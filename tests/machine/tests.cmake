# The program as scripts see it: `nibble cpu`, forced levels, its allocator.
if(TARGET nibble_cli)
  function(nibble_machine_test name expected)
    add_test(NAME machine/${name} COMMAND nibble_cli ${ARGN})
    set_tests_properties(machine/${name} PROPERTIES PASS_REGULAR_EXPRESSION "${expected}")
  endfunction()

  nibble_machine_test(cpu_text "Kernels chosen.*matmul Q4_0" cpu)
  nibble_machine_test(cpu_json "\"default_threads\": [1-9]" cpu --json)
  nibble_machine_test(cpu_kernels "All kernels.*matmul/q4_0/scalar/row_major" cpu --kernels)
  nibble_machine_test(cpu_isa_flag "matmul Q4_0 +scalar +only scalar" cpu --isa scalar)
  nibble_machine_test(cpu_isa_environment "matmul Q4_0 +scalar +only scalar" cpu)
  set_tests_properties(machine/cpu_isa_environment PROPERTIES ENVIRONMENT NIBBLE_ISA=scalar)
  nibble_machine_test(cpu_isa_unknown "nibble: ISA level \"avx1024\" .*choose one of auto, scalar"
                      cpu --isa avx1024)
  add_test(NAME machine/cpu_isa_unknown_status COMMAND sh -c "$<TARGET_FILE:nibble_cli> cpu --isa avx1024; test $? = 64")
  if(NOT NIBBLE_SANITIZE AND NOT NIBBLE_STATIC)
    add_test(NAME machine/hardening COMMAND ${CMAKE_CURRENT_LIST_DIR}/check_hardening.sh
                                            ${CMAKE_READELF} $<TARGET_FILE:nibble_cli>)
  endif()
  if(NOT NIBBLE_SANITIZE)
    nibble_machine_test(mimalloc_is_the_allocator "heap stats" cpu)
    set_tests_properties(machine/mimalloc_is_the_allocator PROPERTIES
                         ENVIRONMENT MIMALLOC_SHOW_STATS=1)
  endif()
endif()
