// The element-wise kernels, once for every ISA: norm, activations, rope, quantisation, add, scale,
// soft-cap, dequantisation of float formats.
//
// An arch file includes this and exports kElementwise<V>. Contracts: abi.h. Read next:
// attention_inl.h.
#pragma once

#include "simd/math_inl.h"
#include "simd/vec16_inl.h"

namespace nibble {
namespace {

// y[i] = f(y[i], operands[i]...) for i < n, in steps of 16 and a partial last step.
template <class V, class F, class... T>
inline void map_elements(float* y, size_t n, F f, const T*... operands) {
  size_t i = 0;
  for (; i + NIBBLE_LANES <= n; i += NIBBLE_LANES) {
    f(V::load(operands + i)...).store(y + i);
  }
  if (i < n) f(V::load_n(operands + i, n - i)...).store_n(y + i, n - i);
}

template <class V>
NIBBLE_KERNEL void rms_norm(const NormArgs* a) {
  V squares = V::splat(0.0f);
  size_t i = 0;
  for (; i + NIBBLE_LANES <= a->n; i += NIBBLE_LANES) {
    const V x = V::load(a->x + i);
    squares = fma(x, x, squares);
  }
  if (i < a->n) {
    const V x = V::load_n(a->x + i, a->n - i);
    squares = fma(x, x, squares);
  }
  const float mean = reduce_add(squares) / static_cast<float>(a->n);
  const V scale = V::splat(1.0f / sqrtf(mean + a->eps));
  if (a->weight == nullptr) {
    const auto norm = [&](const V& x) { return x * scale; };
    const auto norm_add = [&](const V& x, const V& y) { return y + x * scale; };
    a->accumulate ? map_elements<V>(a->y, a->n, norm_add, a->x, a->y)
                  : map_elements<V>(a->y, a->n, norm, a->x);
  } else {
    const auto norm = [&](const V& x, const V& w) { return x * scale * w; };
    const auto norm_add = [&](const V& x, const V& w, const V& y) { return y + x * scale * w; };
    a->accumulate ? map_elements<V>(a->y, a->n, norm_add, a->x, a->weight, a->y)
                  : map_elements<V>(a->y, a->n, norm, a->x, a->weight);
  }
}

template <class V>
NIBBLE_KERNEL void gelu_mul(const GluArgs* a) {
  const auto f = [](const V& gate, const V& up) { return gelu_tanh(gate) * up; };
  map_elements<V>(a->y, a->n, f, a->gate, a->up);
}

template <class V>
NIBBLE_KERNEL void silu_mul(const GluArgs* a) {
  const auto f = [](const V& gate, const V& up) { return silu(gate) * up; };
  map_elements<V>(a->y, a->n, f, a->gate, a->up);
}

// (x0, x1) turned by the angle whose cosine and sine are given.
template <class V>
struct Turned {
  V x0, x1;
};
template <class V>
inline Turned<V> turn(const V& x0, const V& x1, const V& cos, const V& sin) {
  return {x0 * cos - x1 * sin, fma(x1, cos, x0 * sin)};
}

template <class V>
NIBBLE_KERNEL void rope_neox(const RopeArgs* a) {
  const size_t half = a->n_rot / 2;
  float* low = a->x;
  float* high = a->x + half;
  size_t i = 0;
  for (; i + NIBBLE_LANES <= half; i += NIBBLE_LANES) {
    const Turned<V> t =
        turn(V::load(low + i), V::load(high + i), V::load(a->cos + i), V::load(a->sin + i));
    t.x0.store(low + i);
    t.x1.store(high + i);
  }
  if (i < half) {
    const size_t n = half - i;
    const Turned<V> t = turn(V::load_n(low + i, n), V::load_n(high + i, n),
                             V::load_n(a->cos + i, n), V::load_n(a->sin + i, n));
    t.x0.store_n(low + i, n);
    t.x1.store_n(high + i, n);
  }
}

// Turns `n` <= 16 neighbouring pairs. They are pulled apart and put together through buffers; the
// arithmetic is rope_neox's.
template <class V>
inline void turn_neighbours(float* x, const V& cos, const V& sin, size_t n) {
  float even[NIBBLE_LANES] = {}, odd[NIBBLE_LANES] = {};
  for (size_t j = 0; j < n; ++j) {
    even[j] = x[2 * j];
    odd[j] = x[2 * j + 1];
  }
  const Turned<V> t = turn(V::load(even), V::load(odd), cos, sin);
  t.x0.store(even);
  t.x1.store(odd);
  for (size_t j = 0; j < n; ++j) {
    x[2 * j] = even[j];
    x[2 * j + 1] = odd[j];
  }
}

template <class V>
NIBBLE_KERNEL void rope_norm(const RopeArgs* a) {
  const size_t half = a->n_rot / 2;
  size_t i = 0;
  for (; i + NIBBLE_LANES <= half; i += NIBBLE_LANES) {
    turn_neighbours(a->x + 2 * i, V::load(a->cos + i), V::load(a->sin + i), NIBBLE_LANES);
  }
  if (i < half) {
    const size_t n = half - i;
    turn_neighbours(a->x + 2 * i, V::load_n(a->cos + i, n), V::load_n(a->sin + i, n), n);
  }
}

template <class V>
NIBBLE_KERNEL void add(const UnaryArgs* a) {
  const auto f = [](const V& y, const V& x) { return y + x; };
  map_elements<V>(a->y, a->n, f, a->y, a->x);
}

template <class V>
NIBBLE_KERNEL void scale(const UnaryArgs* a) {
  const V factor = V::splat(a->scalar);
  map_elements<V>(
      a->y, a->n, [&](const V& y) { return y * factor; }, a->y);
}

template <class V>
inline V softcapped(const V& x, float cap) {
  return V::splat(cap) * tanh(x * V::splat(1.0f / cap));
}

template <class V>
NIBBLE_KERNEL void softcap(const UnaryArgs* a) {
  map_elements<V>(
      a->y, a->n, [&](const V& y) { return softcapped(y, a->scalar); }, a->y);
}

// max |x| over two vectors as bits: bits order like magnitudes, with NaN above infinity.
template <class P>
inline int32_t max_magnitude_bits(const Vec16<P>& a, const Vec16<P>& b) {
  auto best = P::bits(P::abs(a.part[0]));
  for_parts<P>([&](size_t i) {
    const auto larger = P::max_int(P::bits(P::abs(a.part[i])), P::bits(P::abs(b.part[i])));
    best = P::max_int(best, larger);
  });
  return P::reduce_max_int(best);
}

// Stores round_to_even(x * inverse) as 16 int8, returns their sum.
template <class P>
inline int32_t store_rounded(const Vec16<P>& x, const Vec16<P>& inverse, int8_t* q) {
  const Vec16<P> t = x * inverse + Vec16<P>::splat(kRoundMagic);
  auto sum = P::bits(P::splat(0.0f));
  for_parts<P>([&](size_t i) {
    const auto n = rounded_int<P>(t.part[i]);
    P::store_int8(n, q + i * P::kLanes);
    sum = P::add_int(sum, n);
  });
  return P::reduce_add_int(sum);
}

template <class V>
NIBBLE_KERNEL void quantize_row(const QuantizeArgs* a) {
  constexpr int32_t kInfinityBits = 0x7f800000;
  constexpr float kLeast = 0x1p-120f;  // 127 / amax must not overflow; smaller blocks become 0
  uint8_t* block = static_cast<uint8_t*>(a->panel);
  const size_t scales_bytes = a->mt * sizeof(float), sums_bytes = a->mt * sizeof(int32_t);
  const size_t halves_at = scales_bytes + sums_bytes + a->mt * NIBBLE_BLOCK;
  const size_t block_bytes = halves_at + 2 * sums_bytes;
  for (size_t i = 0; i < a->k; i += NIBBLE_BLOCK, block += block_bytes) {
    const V x0 = V::load(a->x + i), x1 = V::load(a->x + i + NIBBLE_LANES);
    const int32_t bits = max_magnitude_bits(x0, x1);
    int8_t* q = reinterpret_cast<int8_t*>(block + scales_bytes + sums_bytes + a->t * NIBBLE_BLOCK);
    float d = NAN;
    int32_t sum[2] = {0, 0};
    if (bits < kInfinityBits) {
      const float amax = float_from_bits(static_cast<uint32_t>(bits));
      const V inverse = V::splat(amax >= kLeast ? 127.0f / amax : 0.0f);
      d = amax / 127.0f;
      sum[0] = store_rounded(x0, inverse, q);
      sum[1] = store_rounded(x1, inverse, q + NIBBLE_LANES);
    } else {
      memset(q, 0, NIBBLE_BLOCK);
    }
    memcpy(block + a->t * sizeof(float), &d, sizeof(d));
    const int32_t neg8 = -8 * (sum[0] + sum[1]);
    memcpy(block + scales_bytes + a->t * sizeof(int32_t), &neg8, sizeof(neg8));
    for (size_t h = 0; h < 2; ++h) {
      const int32_t neg64 = -64 * sum[h];
      memcpy(block + halves_at + (h * a->mt + a->t) * sizeof(int32_t), &neg64, sizeof(neg64));
    }
  }
}

template <class V>
NIBBLE_KERNEL void to_q4_0(const ToQ4_0Args* a) {
  constexpr size_t kBytes = 2 + NIBBLE_BLOCK / 2;
  constexpr float kLeast = 0x1p-120f;       // 8 / amax must not overflow; smaller blocks become 0
  constexpr float kMost = 8.0f * 65504.0f;  // d must be a finite half
  uint8_t* block = static_cast<uint8_t*>(a->dst);
  V errors = V::splat(0.0f);
  const V magic = V::splat(kRoundMagic);
  for (size_t i = 0; i < a->k; i += NIBBLE_BLOCK, block += kBytes) {
    const V x[2] = {V::load(a->x + i), V::load(a->x + i + NIBBLE_LANES)};
    const float amax = float_from_bits(static_cast<uint32_t>(max_magnitude_bits(x[0], x[1])));
    uint16_t half = 0x7e00;  // NaN
    int8_t q[NIBBLE_BLOCK] = {};
    if (amax <= kMost) {
      const float high = reduce_max(max(x[0], x[1]));
      const float d = (high == amax ? amax : -amax) / -8.0f;
      half = f16_from_f32(d);
      const V inverse = V::splat(amax >= kLeast ? 1.0f / d : 0.0f);
      const V step = V::splat(f32_from_f16(half));
      for (size_t h = 0; h < 2; ++h) {
        const V scaled = min(x[h] * inverse, V::splat(7.0f));
        const V error = x[h] - step * ((scaled + magic) - magic);
        errors = fma(error, error, errors);
        store_rounded(scaled, V::splat(1.0f), q + h * NIBBLE_LANES);
      }
    } else {
      errors = errors + V::splat(NAN);
    }
    memcpy(block, &half, sizeof(half));
    for (size_t j = 0; j < NIBBLE_LANES; ++j) {
      block[2 + j] = static_cast<uint8_t>((q[j] + 8) | (q[j + NIBBLE_LANES] + 8) << 4);
    }
  }
  *a->error_squares = reduce_add(errors);
}

template <class V, class T>
NIBBLE_KERNEL void dequantize_row(const DequantizeArgs* a) {
  map_elements<V>(
      a->dst, a->k, [](const V& x) { return x; }, static_cast<const T*>(a->src));
}

template <class V>
constexpr KernelEntry kElementwise[] = {
    {Op::kQuantizeRow,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.quantize = quantize_row<V>},
     "quantize_row"},
    {Op::kToQ4_0,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.to_q4_0 = to_q4_0<V>},
     "to_q4_0"},
    {Op::kDequantizeRow,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.dequantize = dequantize_row<V, float>},
     "dequantize_f32"},
    {Op::kDequantizeRow,
     Format::kF16,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.dequantize = dequantize_row<V, F16>},
     "dequantize_f16"},
    {Op::kDequantizeRow,
     Format::kBF16,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.dequantize = dequantize_row<V, BF16>},
     "dequantize_bf16"},
    {Op::kRmsNorm,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.norm = rms_norm<V>},
     "rms_norm"},
    {Op::kGeluMul,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.glu = gelu_mul<V>},
     "gelu_mul"},
    {Op::kSiluMul,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.glu = silu_mul<V>},
     "silu_mul"},
    {Op::kRopeNeox,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.rope = rope_neox<V>},
     "rope_neox"},
    {Op::kRopeNorm,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.rope = rope_norm<V>},
     "rope_norm"},
    {Op::kAdd, Format::kF32, Activation::kNone, Layout::kRowMajor, 1, {.unary = add<V>}, "add"},
    {Op::kScale,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.unary = scale<V>},
     "scale"},
    {Op::kSoftcap,
     Format::kF32,
     Activation::kNone,
     Layout::kRowMajor,
     1,
     {.unary = softcap<V>},
     "softcap"},
};

}  // namespace
}  // namespace nibble
