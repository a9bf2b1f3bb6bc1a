// The kernel ABI: what the runtime hands to a kernel and what a kernel promises back.
//
// Aggregates only, no member functions, no library types: this header is compiled under many ISA
// flags, and anything inline here could leak an illegal instruction into portable code.
//
// Letters, everywhere in the project: m tokens, n output rows, k depth (columns of the weights).
// Kernels have preconditions and no errors; they are thread-safe (no state but their arguments).
// Read next: layout.h (what `w` points to), registry.h (how a kernel is found), arch/README.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace nibble {

// Element formats of weights, in memory and in files. format.h has the table of their properties.
enum class Format : uint8_t {
  // clang-format off
  kF32, kF16, kBF16, kQ8_0, kQ4_0,
  kQ4_1, kQ5_0, kQ5_1, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kIQ4_XS, kIQ3_S, kIQ3_XXS,
  kIQ2_XXS, kIQ2_XS, kIQ2_S, kTQ1_0, kTQ2_0, kMXFP4,
  // clang-format on
  kCount
};

// What a kernel computes. The comment names the member of KernelFn and the argument struct.
enum class Op : uint8_t {
  kMatmul,         // matmul     MatmulArgs      y[m][n] = x[m][k] * w[n][k]^T
  kQuantizeRow,    // quantize   QuantizeArgs    float row -> Q8 activation panel
  kToQ4_0,         // to_q4_0    ToQ4_0Args      float row -> row-major Q4_0
  kDequantizeRow,  // dequantize DequantizeArgs  one row-major weight row -> float
  kRmsNorm,        // norm       NormArgs
  kGeluMul,        // glu        GluArgs         y = gelu_tanh(gate) * up
  kSiluMul,        // glu        GluArgs         y = silu(gate) * up
  kRopeNeox,       // rope       RopeArgs        pairs (i, i + n_rot/2)
  kRopeNorm,       // rope       RopeArgs        pairs (2i, 2i + 1)
  kAdd,            // unary      UnaryArgs       y += x
  kScale,          // unary      UnaryArgs       y *= scalar
  kSoftcap,        // unary      UnaryArgs       y = scalar * tanh(y / scalar)
  kToKv,           // to_kv      ToKvArgs        float K and V rows -> KV-cache block
  kAttend,         // attend     AttendArgs      query rows against one block of keys
  kAttendMerge,    // merge      AttendMergeArgs
  kPeak,           // peak       PeakArgs        the level's int8 limit, for benches
  kCount
};

// The form in which a matmul kernel takes its activations.
enum class Activation : uint8_t { kNone, kF32, kQ8 };

// Arrangement of weight rows in memory; layout.h draws each.
enum class Layout : uint8_t { kRowMajor, kRows8, kRows8Biased, kRows16Biased, kRows16, kCount };

// Weights per quantisation block, for weights and activations alike.
#define NIBBLE_BLOCK 32
// Most tokens in one panel of Q8 activations (see ActivationPanel in layout.h).
#define NIBBLE_PANEL 16
// Lanes of the virtual vector in which every float reduction is defined (simd/vec16_inl.h).
#define NIBBLE_LANES 16
// Keys in one block of the KV cache; attention merges its results block by block in order of
// position, so the result does not depend on how blocks are shared among threads.
#define NIBBLE_KEY_BLOCK 128

// y[t * y_stride + i] = sum over k of w[i][k] * x[t][k], for i < n and t < m.
//
// w         row i = 0 of the wanted rows, in the entry's layout; packed layouts start at a tile
//           border and hold ceil(n / tile_n) whole tiles (missing rows have zero scales).
// x         Activation::kF32: float[m][k], contiguous. Activation::kQ8: consecutive panels.
// y         not aliased with w, x; only rows < n are written.
// k         multiple of the format's block; any k >= 1 for kF32, kF16, kBF16.
// m, n >= 1.
//
// Order of float additions, the same on every ISA and for every m and tile:
//   block formats: acc = fma(float(isum_b), d_w[b] * d_x[b], acc) for b = 0 .. k/32-1, where isum
//                  is the exact integer dot product of block b and d_w the (exact) scale;
//     with a minimum m:               acc = fma(fma(float(isum), d_w, float(neg8) * (m / 8)), d_x,
//                  acc), isum of codes
//     with a scale a half (16 columns): acc = fma(halves, d_x, acc),
//                  halves = fma(float(isum0), d_w0, float(isum1) * d_w1)
//     with both:   halves = fma(float(neg64[1]), m1 / 64, fma(float(neg64[0]), m0 / 64, halves))
//                  neg8 and neg64 are the panel's sums (layout.h)
//   float formats: 16 partial sums (lane = k mod 16), acc = fma(w, x, acc), then the tree of
//                  vec16_inl.h's reduce_add().
typedef struct MatmulArgs {
  const void* w;
  const void* x;
  float* y;
  size_t y_stride;
  size_t n;
  size_t k;
  size_t m;
} MatmulArgs;

// Quantises one float row into token slot t of a panel of mt tokens (layout.h: ActivationPanel).
// Per block of 32: amax = max|x|; d = amax / 127; q = round_to_even(x * (127 / amax)), q = 0 when
// amax < 2^-120. A block with a NaN or infinity gets d = NaN, q = 0, so that it shows in the
// result.
typedef struct QuantizeArgs {
  const float* x;
  size_t k;
  void* panel;
  size_t mt;
  size_t t;
} QuantizeArgs;

// Quantises k weights (a multiple of 32) to row-major Q4_0. Per block: e = the element of largest
// magnitude, d = e / -8, q = min(7, round_to_even(x / d)) + 8; d is stored as f16. error_squares
// gets the sum of (x - stored value)^2, NaN when a weight is not finite.
typedef struct ToQ4_0Args {
  const float* x;
  size_t k;
  void* dst;
  float* error_squares;
} ToQ4_0Args;

// dst[0..k) = the k weights of one row-major row, exactly as the format defines them.
typedef struct DequantizeArgs {
  const void* src;
  float* dst;
  size_t k;
} DequantizeArgs;

// y = x / sqrt(mean(x^2) + eps) * weight (weight may be null: ones). accumulate: y += that.
// y may alias x. The sum of squares is taken in 16 lanes, then reduce_add().
typedef struct NormArgs {
  const float* x;
  const float* weight;
  float* y;
  size_t n;
  float eps;
  int accumulate;
} NormArgs;

// y = act(gate) * up. y may alias gate or up.
typedef struct GluArgs {
  const float* gate;
  const float* up;
  float* y;
  size_t n;
} GluArgs;

// Rotates the first n_rot elements of x in place; cos, sin hold n_rot/2 values.
typedef struct RopeArgs {
  float* x;
  const float* cos;
  const float* sin;
  size_t n_rot;
} RopeArgs;

typedef struct UnaryArgs {
  float* y;
  const float* x;  // kAdd only
  size_t n;
  float scalar;  // kScale, kSoftcap
} UnaryArgs;

// Stores one position's key and value of one kv head into slot (0 .. NIBBLE_KEY_BLOCK-1) of a
// cache block. The format of the entry is that of the cache's numbers.
//   kF16, kF32    k_block: [NIBBLE_KEY_BLOCK / 16][head_dim][16]  (16 keys side by side: lanes)
//                 v_block: [NIBBLE_KEY_BLOCK][head_dim]
//   kQ8_0, kQ4_0  head_dim is a multiple of NIBBLE_BLOCK. v_block: rows as in a file of that
//   format.
//                 k_block: [NIBBLE_KEY_BLOCK / 16][head_dim / 32] of {f16 scale[16 keys];
//                 int8 q[32][16 keys], or nibbles uint8 q[16][16 keys], low: elements 0 .. 15}
//                 q is rounded as in QuantizeArgs and ToQ4_0Args.
typedef struct ToKvArgs {
  const float* k;
  const float* v;
  void* k_block;
  void* v_block;
  size_t slot;
  size_t head_dim;
} ToKvArgs;

// Attention of `rows` query rows of one kv head against one block of keys, merged into the rows'
// running state. For row r with keys begin[r] <= j < end[r] (empty: the row is skipped):
//   s_j = softcap(dot(q_r, k_j))     dot: one chain of fma over d = 0 .. head_dim-1
//   m' = max s_j;  p_j = exp(max(-64, s_j - m'));  l' = sum p_j (16 lanes, lane = j mod 16,
//   reduce_add; lanes of the first and last 16 outside the range count e^-64);
//   o' = chain of fma(p_j, v_j, o') over j in order
// and (max, sum, out) = merge((max, sum, out), (m', l', o')) as in AttendMergeArgs.
// Start a row with max = -inf, sum = 0, out = 0. q is already scaled. Out is not normalised:
// the caller divides by sum at the end (kScale with 1/sum).
typedef struct AttendArgs {
  const float* q;  // row r at q + r * q_stride
  size_t q_stride;
  const void* k_block;
  const void* v_block;
  const int32_t* begin;
  const int32_t* end;
  float* max;
  float* sum;
  float* out;  // row r at out + r * out_stride
  size_t out_stride;
  size_t rows;
  size_t head_dim;
  float softcap;  // 0: none
} AttendArgs;

// a = merge(a, b) for one row: M = max(a.max, b.max); sa = exp(a.max - M); sb = exp(b.max - M);
// sum = fma(a.sum, sa, b.sum * sb); out = fma(a.out, sa, b.out * sb).
typedef struct AttendMergeArgs {
  float* max;
  float* sum;
  float* out;
  const float* other_max;
  const float* other_sum;
  const float* other_out;
  size_t head_dim;
} AttendMergeArgs;

// The level's densest int8 multiply-accumulate from registers alone, the limit that its matmul
// kernels are measured against. Repeats some instructions `rounds` times.
typedef struct PeakArgs {
  size_t rounds;
  uint64_t macs;  // out: multiply-accumulates done
  int32_t sink;   // out: meaningless, keeps the work alive
} PeakArgs;

typedef union KernelFn {
  void (*matmul)(const MatmulArgs*);
  void (*quantize)(const QuantizeArgs*);
  void (*to_q4_0)(const ToQ4_0Args*);
  void (*dequantize)(const DequantizeArgs*);
  void (*norm)(const NormArgs*);
  void (*glu)(const GluArgs*);
  void (*rope)(const RopeArgs*);
  void (*unary)(const UnaryArgs*);
  void (*to_kv)(const ToKvArgs*);
  void (*attend)(const AttendArgs*);
  void (*merge)(const AttendMergeArgs*);
  void (*peak)(PeakArgs*);
} KernelFn;

// One kernel of one ISA level. The level's required CPU features come from its isa.cmake.
typedef struct KernelEntry {
  Op op;
  Format format;          // weights (kMatmul, kDequantizeRow), cache (kToKv, kAttend), else kF32
  Activation activation;  // kMatmul only, else kNone
  Layout layout;          // kMatmul only, else kRowMajor
  uint8_t tile_n;         // rows per packed tile (kMatmul), else 1
  KernelFn fn;
  const char* name;  // as benches and `nibble cpu` print it: "q4_0", "rms_norm", ...
} KernelEntry;

typedef struct KernelList {
  const KernelEntry* entries;
  size_t count;
} KernelList;

}  // namespace nibble

// Ends every arch file: exports its one symbol, nibble_kernels_<isa>_<file>. NIBBLE_ISA_NAME is
// set by CMake for each arch folder.
#define NIBBLE_CONCAT_(a, b, c) a##b##_##c
#define NIBBLE_CONCAT(a, b, c) NIBBLE_CONCAT_(a, b, c)
#define NIBBLE_EXPORT_KERNELS(file, array)                                                        \
  extern "C" const ::nibble::KernelList NIBBLE_CONCAT(nibble_kernels_, NIBBLE_ISA_NAME, file);    \
  extern "C" const ::nibble::KernelList NIBBLE_CONCAT(nibble_kernels_, NIBBLE_ISA_NAME, file) = { \
      array, sizeof(array) / sizeof((array)[0])}
