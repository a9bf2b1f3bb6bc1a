# The one binary on CPUs that lack what this machine has. QEMU 7.2 emulates AVX2 and no AVX-512: a
# Skylake-Server is there an AVX2 machine, and must be taken for one.
find_program(NIBBLE_QEMU qemu-x86_64)
if(NIBBLE_QEMU AND NOT NIBBLE_SANITIZE AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_executable(avx_control ${CMAKE_CURRENT_LIST_DIR}/avx_control.cpp)
  target_compile_options(avx_control PRIVATE -mavx2)
  foreach(cpu_isa Nehalem=scalar Haswell=avx2 Skylake-Server=avx2)
    string(REPLACE "=" ";" pair ${cpu_isa})
    list(GET pair 0 cpu)
    list(GET pair 1 isa)
    set(control "")
    if(isa STREQUAL "scalar")
      set(control $<TARGET_FILE:avx_control>)
    endif()
    add_test(NAME emulated/${cpu}
             COMMAND ${CMAKE_COMMAND} -DNIBBLE=$<TARGET_FILE:nibble_cli> -DQEMU=${NIBBLE_QEMU}
                     -DCPU=${cpu} -DISA=${isa} -DCONTROL=${control}
                     -P ${CMAKE_CURRENT_LIST_DIR}/emulated.cmake)
    set_tests_properties(emulated/${cpu} PROPERTIES TIMEOUT 300)
  endforeach()
endif()
