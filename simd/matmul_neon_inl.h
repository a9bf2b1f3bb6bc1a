// One tile of 8 rows of any block format (layout kRows8) against a panel, in 128-bit registers.
//
// A register holds 4 rows x 4 columns of a group, so a tile is two quads of rows, of which each
// takes 8 registers a block. Up to 8 tokens: both quads, block after block, so that weights are
// read once in order. More: one quad after the other, with the sums of all tokens in registers (16
// beside the 8 of weights); a block is then unpacked once for 16 tokens, and the second quad finds
// its cache lines in L1.
//
// Shared by the levels neon, dotprod and i8mm, which differ in how integer sums are made. Q4_0 and
// Q8_0 are tiles of one scale a block like the coded formats. Read next: coded_group_inl.h.
#pragma once

#include <arm_neon.h>

#include "simd/coded_group_inl.h"
#include "simd/matmul_tiles_inl.h"
#include "simd/vec16_neon_inl.h"

namespace nibble {
namespace {

// The largest magnitude of a value.
constexpr int largest_value(const CodedForm& form) {
  int largest = 0;
  for (int code = 0; code < 1 << form.bits && form.bits < 8; ++code) {
    const int value = coded_value(form, code);
    largest = value > largest ? value : -value > largest ? -value : largest;
  }
  return form.bits == 8 ? 128 : largest;
}

// Four rows x four bytes, of planes that are eight rows wide.
struct NeonBytes {
  using Reg = uint8x16_t;
  static constexpr size_t kRows = 8;

  static inline Reg load(const uint8_t* p) { return vld1q_u8(p); }
  static inline Reg mask(Reg r, int byte) { return vandq_u8(r, vdupq_n_u8((uint8_t)byte)); }
  static inline Reg add(Reg r, int byte) { return vaddq_u8(r, vdupq_n_u8((uint8_t)byte)); }
  static inline Reg merge(Reg r, Reg other, int byte) {
    return vbslq_u8(vdupq_n_u8((uint8_t)byte), other, r);  // those bits of r are zero
  }
  static inline Reg lookup(Reg r, const int8_t* table, int bias) {
    return vqtbl1q_u8(add(vreinterpretq_u8_s8(vld1q_s8(table)), bias), r);
  }
  template <int N>
  static inline Reg left(Reg r) {
    return vreinterpretq_u8_u32(vshlq_n_u32(vreinterpretq_u32_u8(r), N));
  }
  template <int N>
  static inline Reg right(Reg r) {
    return vreinterpretq_u8_u32(vshrq_n_u32(vreinterpretq_u32_u8(r), N));
  }
};

// Register g: columns 4g .. 4g + 3 of a quad.
using QuadBlock = int8x16_t[8];

template <Format F, int G>
NIBBLE_INLINE void unpack_groups(const uint8_t* planes, QuadBlock& block) {
  if constexpr (G < 8) {
    block[G] = vreinterpretq_s8_u8(coded_values<F, NeonBytes, G, 0>(planes));
    unpack_groups<F, G + 1>(planes, block);
  }
}

// The values of a quad whose planes start at `planes`; of Q4_0 times 16 if `Times16`: nibbles less
// 8 in the high half of a byte take three instructions for two registers, as bytes four.
template <Format F, bool Times16>
NIBBLE_INLINE void unpack_quad(const uint8_t* planes, QuadBlock& block) {
  if constexpr (F == Format::kQ8_0) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) block[g] = vreinterpretq_s8_u8(vld1q_u8(planes + 32 * g));
  } else if constexpr (F == Format::kQ4_0) {
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      const uint8x16_t bytes = vld1q_u8(planes + 32 * g);
      // The nibble with its highest bit flipped is value mod 16.
      const int8x16_t values = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x88)));
      const int8x16_t low = vshlq_n_s8(values, 4);
      block[g] = Times16 ? low : vshrq_n_s8(low, 4);
      block[g + 4] = Times16 ? vandq_s8(values, vdupq_n_s8((int8_t)0xf0)) : vshrq_n_s8(values, 4);
    }
  } else {
    unpack_groups<F, 0>(planes, block);
  }
}

// The codes of a quad of Q4_0, which are its values plus 8.
NIBBLE_INLINE void unpack_codes(const uint8_t* planes, QuadBlock& block) {
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const uint8x16_t bytes = vld1q_u8(planes + 32 * g);
    block[g] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
    block[g + 4] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
  }
}

// Dot makes a block's integer sums, and says how many tokens it takes at once (kTokens) and whether
// it wants Q4_0 times 16 (kTimes16); DotOne does so for a single token.
//   arrange(block)     puts an unpacked block in the order that it wants
//   template <Format F, int First, int Last, int N> sums(block, x, sum)
//                      sum[t], t < N, = the exact dot product, as floats, of columns
//                      4 First .. 4 Last - 1 of 4 rows with token t's at x + 32 t
//   template <Format F> whole_sum(block, x, neg8)
//                      of DotOne, if it has kCodes: sum[0] of a whole block, of Q4_0 of its codes
template <Format F, class DotMany, class DotOne>
struct NeonTile {
  static constexpr CodedForm kForm = block_form(F);
  static constexpr size_t kRows = 8;
  static constexpr size_t kBlocks = (size_t)kForm.span / NIBBLE_BLOCK;
  static constexpr size_t kBlockBytes = F == Format::kQ8_0 ? 32 : coded_block_bytes(kForm);
  static constexpr size_t kHeadBytes = coded_head_bytes(kForm);
  static constexpr size_t kSpanBytes = kHeadBytes + kBlocks * kBlockBytes;
  // With two scales and two minima there are registers for half a panel.
  static constexpr int kTokens = kForm.split && kForm.minimum ? 8 : NIBBLE_PANEL;

  // Exact factors of a block's 4 rows. Minima are divided by what the panel's sums are times.
  struct Factors {
    float32x4_t scale[2];
    float32x4_t minimum[2];
  };

  // Of the f16 scales and minima of 8 rows at the head of a span.
  static inline Factors head(const uint8_t* w, size_t quad) {
    Factors f;
    if constexpr (kForm.bf16) {
      f.scale[0] = NeonPart::load((const BF16*)w + 4 * quad);
    } else {
      f.scale[0] = NeonPart::load((const F16*)w + 4 * quad);
      if constexpr (kForm.factor != 1) f.scale[0] = vmulq_n_f32(f.scale[0], kForm.factor);
    }
    if constexpr (kForm.minimum) {
      const float share = kForm.min_sign / (kForm.split ? 64.0f : 8.0f);
      f.minimum[0] = vmulq_n_f32(NeonPart::load((const F16*)w + 8 + 4 * quad), share);
    }
    return f;
  }

  // The low nibbles of four bytes, or the high ones.
  template <int Shift>
  static inline float32x4_t nibbles(const uint8_t* p) {
    const uint32x4_t four = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8((uint32_t)load_i32(p)))));
    if constexpr (Shift == 0) return vcvtq_f32_u32(vandq_u32(four, vdupq_n_u32(15)));
    return vcvtq_f32_u32(vshrq_n_u32(four, 4));
  }

  // Of one block; `w` is at its integer scales.
  static inline Factors block(const Factors& head, const uint8_t* w, size_t quad) {
    Factors f = head;
    if constexpr (kForm.span == 32) return f;
    const uint8_t* first = w + 4 * quad;
    const uint8_t* second = first + (coded_scale_bytes(kForm) - 1) * kRows;
    if constexpr (kForm.split && kForm.minimum) {
      f.scale[0] = vmulq_f32(head.scale[0], nibbles<0>(first));
      f.scale[1] = vmulq_f32(head.scale[0], nibbles<0>(second));
      f.minimum[0] = vmulq_f32(head.minimum[0], nibbles<4>(first));
      f.minimum[1] = vmulq_f32(head.minimum[0], nibbles<4>(second));
    } else {
      f.scale[0] = vmulq_f32(head.scale[0], NeonPart::load((const int8_t*)first));
      const float32x4_t other = NeonPart::load((const int8_t*)second);
      if constexpr (kForm.split) f.scale[1] = vmulq_f32(head.scale[0], other);
      if constexpr (kForm.minimum) f.minimum[0] = vmulq_f32(head.minimum[0], other);
    }
    return f;
  }

  // Where a panel block has the tokens wanted.
  struct Panel {
    const uint8_t* d;
    const uint8_t* neg8;
    const uint8_t* x;
    const uint8_t* neg64[2];
  };

  // acc += what a block adds for tokens First .. First + N - 1.
  template <class Dot, int First, int N, int T>
  static NIBBLE_INLINE void tokens(const QuadBlock& weights, const Factors& f, const Panel& p,
                                   float32x4_t (&acc)[T]) {
    const uint8_t* x = p.x + NIBBLE_BLOCK * First;
    float32x4_t sum[N];
    float32x4_t term[N];
    if constexpr (kForm.split) {
      Dot::template sums<F, 4, 8, N>(weights, x, sum);
      unroll<N>([&](size_t i) { term[i] = vmulq_f32(sum[i], f.scale[1]); });
      Dot::template sums<F, 0, 4, N>(weights, x, sum);
    } else {
      Dot::template sums<F, 0, 8, N>(weights, x, sum);
    }
    // Scales of four tokens are loaded at once. As an instruction: GCC else takes them to pieces,
    // and broadcasts half of those, which costs the vector pipes a slot each.
    constexpr bool kFour = First / 4 * 4 + 4 <= T;
    unroll<N>([&](auto i) {
      constexpr size_t at = 4 * (First + i.value);
      constexpr int kLane = kFour ? (First + (int)i.value) % 4 : 0;
      float32x4_t d;
      if constexpr (kFour) {
        const auto* four = (const float(*)[4])(p.d + at - 4 * kLane);
        __asm__("ldr\t%q0, %1" : "=w"(d) : "m"(*four));
      } else {
        d = vdupq_n_f32(load_f32(p.d + at));
      }
      if constexpr (!kForm.split && !kForm.minimum) {
        acc[First + i] = vfmaq_f32(acc[First + i], sum[i], vmulq_laneq_f32(f.scale[0], d, kLane));
      } else {
        if constexpr (!kForm.split) {
          term[i] = vmulq_n_f32(f.minimum[0], (float)load_i32(p.neg8 + at));
        }
        term[i] = vfmaq_f32(term[i], sum[i], f.scale[0]);
        if constexpr (kForm.split && kForm.minimum) {
          term[i] = vfmaq_n_f32(term[i], f.minimum[0], (float)load_i32(p.neg64[0] + at));
          term[i] = vfmaq_n_f32(term[i], f.minimum[1], (float)load_i32(p.neg64[1] + at));
        }
        acc[First + i] = vfmaq_laneq_f32(acc[First + i], term[i], d, kLane);
      }
    });
    // Compilers else begin with later tokens until registers spill: 160 times a block in GCC 12.
    if constexpr (T > 1) {
      unroll<N>([&](size_t i) { __asm__ volatile("" : "+w"(acc[First + i])); });
    }
  }

  template <int T>
  static constexpr auto dot_for() {
    if constexpr (T == 1) {
      return DotOne();
    } else {
      return DotMany();
    }
  }

  // acc += one block of a quad; `w` is at the block's integer scales.
  template <int T>
  static NIBBLE_INLINE void quad_block(const uint8_t* span_head, const uint8_t* w, size_t quad,
                                       Panel p, float32x4_t (&acc)[T]) {
    using Dot = decltype(dot_for<T>());
    constexpr int kWhole = T / Dot::kTokens * Dot::kTokens;
    // A second quad loads its activations anew; compilers else keep, and spill, the first's.
    __asm__ volatile("" : "+r"(p.x), "+r"(p.d));
    const Factors f = block(head(span_head, quad), w, quad);
    QuadBlock weights;
    unpack_quad<F, Dot::kTimes16>(w + kRows * coded_scale_bytes(kForm) + 16 * quad, weights);
    Dot::arrange(weights);
    unroll<kWhole / Dot::kTokens>([&](auto i) {
      tokens<Dot, (int)i.value * Dot::kTokens, Dot::kTokens>(weights, f, p, acc);
    });
    if constexpr (kWhole < T) tokens<Dot, kWhole, T - kWhole>(weights, f, p, acc);
  }

  // A single token with both quads: activations are loaded once. A nibble becomes a code in one
  // instruction and a value in two, and here it costs little to take 8 * sum(q) off each row's sum.
  static NIBBLE_INLINE void both_blocks(const uint8_t* span_head, const uint8_t* w, const Panel& p,
                                        float32x4_t (&acc)[1], float32x4_t (&second)[1]) {
    const Factors f[2] = {block(head(span_head, 0), w, 0), block(head(span_head, 1), w, 1)};
    const uint8_t* planes = w + kRows * coded_scale_bytes(kForm);
    QuadBlock weights[2];
    if constexpr (kForm.span == 32 && !kForm.split && !kForm.minimum && DotOne::kCodes) {
      for (size_t quad = 0; quad < 2; ++quad) {
        if constexpr (F == Format::kQ4_0) {
          unpack_codes(planes + 16 * quad, weights[quad]);
        } else {
          unpack_quad<F, false>(planes + 16 * quad, weights[quad]);
        }
      }
      const float d = load_f32(p.d);
      const float32x4_t sum = DotOne::template whole_sum<F>(weights[0], p.x, p.neg8);
      const float32x4_t other = DotOne::template whole_sum<F>(weights[1], p.x, p.neg8);
      acc[0] = vfmaq_f32(acc[0], sum, vmulq_n_f32(f[0].scale[0], d));
      second[0] = vfmaq_f32(second[0], other, vmulq_n_f32(f[1].scale[0], d));
    } else {
      unpack_quad<F, DotOne::kTimes16>(planes, weights[0]);
      unpack_quad<F, DotOne::kTimes16>(planes + 16, weights[1]);
      tokens<DotOne, 0, 1>(weights[0], f[0], p, acc);
      tokens<DotOne, 0, 1>(weights[1], f[1], p, second);
    }
  }

  template <int T>
  static inline void clear(float32x4_t (&acc)[T]) {
    unroll<T>([&](size_t t) { acc[t] = vdupq_n_f32(0); });
  }

  template <int T>
  static inline void store(const float32x4_t (&acc)[T], const TileJob* job, size_t quad) {
    float sums[T][4];
    unroll<T>([&](size_t t) { vst1q_f32(sums[t], acc[t]); });
    const size_t row = 4 * quad, rows = min_size(job->rows - row, 4);
    for (size_t t = 0; t < T; ++t) {
      memcpy(job->y + t * job->y_stride + row, sums[t], rows * sizeof(float));
    }
  }

  // T tokens with both quads, or with quad `one`.
  template <bool kBoth, int T>
  static NIBBLE_KERNEL void quads(const TileJob* job, size_t one) {
    const size_t mt = job->mt, step = mt * NIBBLE_PANEL_BLOCK_BYTES;
    const uint8_t* w = job->w;
    const uint8_t* halves = job->x + (8 + NIBBLE_BLOCK) * mt + 4 * job->t;
    Panel p = {job->x + 4 * job->t,
               job->x + 4 * (mt + job->t),
               job->x + 8 * mt + NIBBLE_BLOCK * job->t,
               {halves, halves + 4 * mt}};
    float32x4_t acc[T], second[T];
    clear(acc);
    if constexpr (kBoth) clear(second);

    for (size_t span = 0; span < job->blocks; span += kBlocks) {
      const uint8_t* span_head = w;
      w += kRows * kHeadBytes;
#pragma GCC unroll 1
      for (size_t b = 0; b < kBlocks; ++b) {
        if constexpr (kBoth) {
          unroll<(kRows * kBlockBytes + 63) / 64>(
              [&](size_t i) { __builtin_prefetch(w + NIBBLE_PREFETCH_BYTES + 64 * i, 0, 2); });
        }
        if constexpr (T == 1) {
          both_blocks(span_head, w, p, acc, second);
        } else if constexpr (kBoth) {
          quad_block(span_head, w, 0, p, acc);
          quad_block(span_head, w, 1, p, second);
        } else {
          quad_block(span_head, w, one, p, acc);
        }
        w += kRows * kBlockBytes;
        p = {p.d + step, p.neg8 + step, p.x + step, {p.neg64[0] + step, p.neg64[1] + step}};
      }
    }

    store(acc, job, kBoth ? 0 : one);
    if (kBoth && job->rows > 4) store(second, job, 1);
  }

  // Of T tokens, how many in one go. The coded formats have few of these functions: they take long
  // to compile, and rereading a tile from L1 for a second go costs little.
  static constexpr int in_one_go(int t) {
    if (kForm.bits == 8 || F == Format::kQ4_0 || t <= 4 || t == 8 || t == kTokens) return t;
    return t > 8 ? 8 : 4;
  }

  template <int T>
  static void run(const TileJob* job) {
    constexpr int kNow = in_one_go(T);
    if constexpr (kNow < T) {
      run<kNow>(job);
      TileJob rest = *job;
      rest.t += kNow;
      rest.y += kNow * job->y_stride;
      run<T - kNow>(&rest);
    } else if constexpr (T <= kTokens / 2) {
      quads<true, T>(job, 0);
    } else {
      quads<false, T>(job, 0);
      if (job->rows > 4) quads<false, T>(job, 1);
    }
  }
};

}  // namespace
}  // namespace nibble
