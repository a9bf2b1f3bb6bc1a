# The one binary on CPUs that lack what another one has. On x86 QEMU 7.2 emulates AVX2 and no AVX-512: a
# Skylake-Server is there an AVX2 machine, and must be taken for one. Cross builds for ARM run on the
# CPUs of boards (Pi 3, 4 and 5), of servers, and on all that QEMU has with SVE of several lengths.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  find_program(NIBBLE_QEMU qemu-x86_64)
  # Without xsave CPUID goes on to name AVX, whose registers the system then does not keep.
  set(cpus "Nehalem scalar" "Haswell,-xsave scalar" "Haswell avx2" "Skylake-Server avx2")
  set(elsewhere "")
  set(control avx)
  set(control_flags -mavx2)
  set(controlled Nehalem)
  set(lacks avx512vnni)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64" AND CMAKE_CROSSCOMPILING_EMULATOR)
  set(NIBBLE_QEMU ${CMAKE_CROSSCOMPILING_EMULATOR})
  # The levels that a CPU has, the preferred one first.
  set(cpus "cortex-a53 neon" "cortex-a72 neon" "cortex-a76 dotprod neon"
      "neoverse-n1 dotprod neon" "a64fx sve neon" "max i8mm sve dotprod neon"
      "max,sve=off i8mm dotprod neon" "max,sve-max-vq=1 i8mm sve dotprod neon"
      "max,sve-max-vq=2 i8mm sve dotprod neon" "max,sve-max-vq=4 i8mm sve dotprod neon")
  set(elsewhere ${NIBBLE_QEMU} -cpu max)
  set(control dotprod)
  set(control_flags -march=armv8.2-a+dotprod)
  set(controlled cortex-a53)
  set(lacks i8mm)
endif()

if(NIBBLE_QEMU AND NOT NIBBLE_SANITIZE)
  add_executable(${control}_control ${CMAKE_CURRENT_LIST_DIR}/${control}_control.cpp)
  target_compile_options(${control}_control PRIVATE ${control_flags})
  foreach(each IN LISTS cpus)
    string(REPLACE " " ";" each "${each}")
    list(POP_FRONT each cpu)
    list(APPEND each scalar)
    set(levels "")
    foreach(level IN LISTS each)  # those that this compiler could build
      if(level IN_LIST NIBBLE_ISA_LEVELS)
        list(APPEND levels ${level})
      endif()
    endforeach()
    list(GET levels 0 isa)
    set(with_control "")
    if(cpu STREQUAL controlled)
      set(with_control $<TARGET_FILE:${control}_control>)
    endif()
    set(without "")
    if(lacks IN_LIST NIBBLE_ISA_LEVELS AND NOT lacks IN_LIST levels)
      set(without ${lacks})
    endif()
    add_test(NAME emulated/${cpu}
             COMMAND ${CMAKE_COMMAND} -DNIBBLE=$<TARGET_FILE:nibble_cli> "-DQEMU=${NIBBLE_QEMU}"
                     -DCPU=${cpu} -DISA=${isa} "-DBELOW=${levels}" -DLACKS=${without}
                     "-DELSEWHERE=${elsewhere}" -DCONTROL=${with_control}
                     -P ${CMAKE_CURRENT_LIST_DIR}/emulated.cmake)
    set_tests_properties(emulated/${cpu} PROPERTIES TIMEOUT 300)
  endforeach()
endif()
