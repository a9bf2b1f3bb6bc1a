set(NIBBLE_ISA_PROCESSORS "^(aarch64|arm64)$")
set(NIBBLE_ISA_FLAGS -march=armv8.2-a+sve)
set(NIBBLE_ISA_FEATURES neon sve)
set(NIBBLE_ISA_RANK 30)
