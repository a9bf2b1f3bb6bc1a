// Uses the dot product instruction without asking: the emulated CPU without it must kill this
// program, or its test proves nothing.
#include <arm_neon.h>

int main(int argc, char**) {
  const int8x16_t in = vdupq_n_s8(static_cast<int8_t>(argc));
  const int32x4_t out = vdotq_s32(vdupq_n_s32(0), in, in);
  volatile int used = vgetq_lane_s32(out, 3);
  return used > 0 ? 0 : 1;
}
