# All whose objects the tests simd/objects and simd/instructions read, for who builds no more than that.
set(checked nibble nibble_simd nibble_commands)
foreach(level IN LISTS NIBBLE_ISA_LEVELS)
  list(APPEND checked nibble_arch_${level})
endforeach()

# No kernel object leaks, and the check that says so finds each kind of leak. Sanitizers put
# constructors and symbols of their own into every object.
if(NOT NIBBLE_SANITIZE)
  set(check ${CMAKE_CURRENT_LIST_DIR}/check_objects.sh ${CMAKE_NM} ${CMAKE_READELF})
  foreach(level IN LISTS NIBBLE_ISA_LEVELS)
    add_test(NAME simd/objects/${level}
             COMMAND ${check} $<TARGET_OBJECTS:nibble_arch_${level}> COMMAND_EXPAND_LISTS)
  endforeach()
  foreach(leak weak exported constructor)
    add_library(leaky_${leak} OBJECT ${CMAKE_CURRENT_LIST_DIR}/leaky/${leak}.cpp)
    target_include_directories(leaky_${leak} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(leaky_${leak} PRIVATE NIBBLE_ISA_NAME=leaky)
    target_compile_options(leaky_${leak} PRIVATE -O3 -fno-exceptions -fno-rtti)
    target_link_libraries(leaky_${leak} PRIVATE nibble_flags)
    add_test(NAME simd/objects/finds_${leak}
             COMMAND ${check} $<TARGET_OBJECTS:leaky_${leak}> COMMAND_EXPAND_LISTS)
    list(APPEND checked leaky_${leak})
  endforeach()
  # The message decides, not the exit code: a check that cannot run at all proves nothing.
  set_tests_properties(simd/objects/finds_weak PROPERTIES PASS_REGULAR_EXPRESSION
                       "weak.cpp.o: weak symbol .*leaked_weak.*1 objects checked, 1 leaks")
  set_tests_properties(simd/objects/finds_exported PROPERTIES PASS_REGULAR_EXPRESSION
                       "exported.cpp.o: 2 exported symbols, must be 1.*leaked_export")
  set_tests_properties(simd/objects/finds_constructor PROPERTIES PASS_REGULAR_EXPRESSION
                       "constructor.cpp.o: has a constructor.*1 objects checked, 1 leaks")
endif()

# No object holds an instruction that its level does not ask of the CPU: kernels against their
# level's features, all else against the architecture's base. GNU binutils read both compilers'.
find_program(NIBBLE_OBJDUMP NAMES ${CMAKE_LIBRARY_ARCHITECTURE}-objdump NO_CMAKE_FIND_ROOT_PATH)
find_program(NIBBLE_AS NAMES ${CMAKE_LIBRARY_ARCHITECTURE}-as NO_CMAKE_FIND_ROOT_PATH)
if(NOT NIBBLE_SANITIZE AND NIBBLE_OBJDUMP AND NIBBLE_AS)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(base armv8-a)
  else()
    set(base generic64+xsave)  # simd/cpu.cpp says xgetbv where CPUID tells that it is there
  endif()
  # nibble_instruction_test(NAME LEVEL TARGET...): the targets' objects against the level's features.
  function(nibble_instruction_test name level)
    set(features none)
    if(level AND NOT level STREQUAL "scalar")
      get_target_property(features nibble_arch_${level} NIBBLE_FEATURES)
    endif()
    list(JOIN features " " features)
    list(TRANSFORM ARGN REPLACE "(.+)" "$<FILTER:$<TARGET_OBJECTS:\\1>,EXCLUDE,gch$>"
         OUTPUT_VARIABLE objects)
    add_test(NAME simd/instructions/${name}
             COMMAND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check_instructions.sh ${NIBBLE_OBJDUMP}
                     ${NIBBLE_AS} ${base} "${features}" ${objects} COMMAND_EXPAND_LISTS)
  endfunction()

  nibble_instruction_test(portable "" nibble nibble_simd nibble_commands)
  foreach(level IN LISTS NIBBLE_ISA_LEVELS)
    nibble_instruction_test(${level} ${level} nibble_arch_${level})
  endforeach()
  # Controls: a level's objects taken for a lower level's, and what must be found in them.
  foreach(control "avx2 scalar vpmaddubsw" "avxvnni avx2 vpdpbusd" "avx512 avx2 AVX-512.encoding"
          "avx512vnni avx512 vpdpbusd" "dotprod neon sdot" "i8mm dotprod smmla"
          "sve dotprod whilelo")
    separate_arguments(control)
    list(GET control 0 level)
    list(GET control 1 lower)
    list(GET control 2 found)
    if(TARGET nibble_arch_${level} AND TARGET nibble_arch_${lower})
      nibble_instruction_test(finds_${level}_in_${lower} ${lower} nibble_arch_${level})
      set_tests_properties(simd/instructions/finds_${level}_in_${lower} PROPERTIES
                           PASS_REGULAR_EXPRESSION "${found}.* [1-9][0-9]* beyond it")
    endif()
  endforeach()
endif()
add_custom_target(checked_objects DEPENDS ${checked})
