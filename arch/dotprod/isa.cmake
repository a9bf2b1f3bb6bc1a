set(NIBBLE_ISA_PROCESSORS "^(aarch64|arm64)$")
set(NIBBLE_ISA_FLAGS -march=armv8.2-a+dotprod)
set(NIBBLE_ISA_FEATURES neon dotprod)
set(NIBBLE_ISA_RANK 20)
