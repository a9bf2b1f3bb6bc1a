set(NIBBLE_ISA_PROCESSORS "^(x86_64|AMD64)$")
set(NIBBLE_ISA_FLAGS -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c)
set(NIBBLE_ISA_FEATURES avx512f avx512cd avx512bw avx512dq avx512vl avx512vnni avx2 fma f16c)
set(NIBBLE_ISA_RANK 40)
