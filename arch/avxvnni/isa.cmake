set(NIBBLE_ISA_PROCESSORS "^(x86_64|AMD64)$")
set(NIBBLE_ISA_FLAGS -mavx2 -mfma -mf16c -mavxvnni)
set(NIBBLE_ISA_FEATURES avxvnni avx2 fma f16c)
set(NIBBLE_ISA_RANK 20)
