// Every kernel of every ISA level that this CPU runs gives the same bits as the scalar one, over
// odd shapes and hostile values, and touches nothing outside its buffers. A kernel is covered from
// the moment it is in the registry.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tests/simd/guarded.h"
#include "tests/simd/kernel_inputs.h"

namespace nibble {
namespace {

// What a kernel wrote, as bits, with every NaN alike: C++ does not say which one a sum gives.
// Sentinels around the outputs are part of it, so that a stray write shows.
using Words = std::vector<uint32_t>;

constexpr float kSentinel = 12345.678f;

template <typename T>
void append(Words* words, const std::vector<T>& values) {
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, float>) {
      words->push_back(std::isnan(value) ? 0x7fc00000 : bits_from_float(value));
    } else {
      words->push_back(value);
    }
  }
}

std::string difference(const Words& got, const Words& want) {
  if (got.size() != want.size()) return "sizes differ";
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == want[i]) continue;
    char text[128];
    std::snprintf(text, sizeof(text), "word %zu of %zu: got %08x (%g), want %08x (%g)", i,
                  got.size(), got[i], static_cast<double>(float_from_bits(got[i])), want[i],
                  static_cast<double>(float_from_bits(want[i])));
    return text;
  }
  return {};
}

Words run_matmul(const KernelEntry& entry, const Shape& s, Flavour flavour, GuardSide side) {
  std::vector<uint8_t> weights = make_weights(entry.format, s, flavour, 1);
  if (entry.layout != Layout::kRowMajor) {
    std::vector<uint8_t> packed(packed_bytes(entry.format, entry.layout, s.n, s.k));
    pack_rows(entry.format, entry.layout, weights.data(), s.n, s.k, packed.data());
    weights = packed;
  }
  const std::vector<float> x = make_floats(s.m * s.k, flavour, 2);
  Guarded<uint8_t> panels(
      entry.activation == Activation::kQ8 ? make_panels(x, s.m, s.k) : std::vector<uint8_t>(),
      side);
  Guarded<float> floats(x, side);
  Guarded<uint8_t> w(weights, side);
  const size_t y_stride = s.n + 3;
  Guarded<float> y(std::vector<float>((s.m - 1) * y_stride + s.n, kSentinel), side);
  const MatmulArgs args = {.w = w.data(),
                           .x = entry.activation == Activation::kQ8
                                    ? static_cast<const void*>(panels.data())
                                    : static_cast<const void*>(floats.data()),
                           .y = y.data(),
                           .y_stride = y_stride,
                           .n = s.n,
                           .k = s.k,
                           .m = s.m};
  entry.fn.matmul(&args);
  Words words;
  append(&words, y.copy());
  return words;
}

Words run_quantize(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  Words words;
  const size_t k = (n + 31) / 32 * 32;
  for (size_t mt : {1, 5, 16}) {
    for (size_t t : {size_t{0}, mt / 2, mt - 1}) {
      Guarded<float> x(make_floats(k, flavour, 3), side);
      Guarded<uint8_t> panel(std::vector<uint8_t>(activation_bytes(mt, k), 0xee), side);
      const QuantizeArgs args = {.x = x.data(), .k = k, .panel = panel.data(), .mt = mt, .t = t};
      entry.fn.quantize(&args);
      append(&words, panel.copy());
    }
  }
  return words;
}

Words run_to_q4_0(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  const size_t k = (n + 31) / 32 * 32;
  Guarded<float> x(make_floats(k, flavour, 3), side);
  Guarded<uint8_t> dst(std::vector<uint8_t>(row_bytes(Format::kQ4_0, k), 0xee), side);
  float squares = kSentinel;
  const ToQ4_0Args args = {.x = x.data(), .k = k, .dst = dst.data(), .error_squares = &squares};
  entry.fn.to_q4_0(&args);
  Words words;
  append(&words, dst.copy());
  // Which NaN it is does not matter.
  append(&words, std::vector<float>{std::isnan(squares) ? NAN : squares});
  return words;
}

Words run_dequantize(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  const size_t block = format_info(entry.format).block;
  const size_t k = (n + block - 1) / block * block;
  std::vector<uint8_t> weights = make_weights(entry.format, {1, 1, k}, flavour, 4);
  if (flavour == Flavour::kNotFinite) damage_scales(entry.format, &weights);
  Guarded<uint8_t> src(weights, side);
  Guarded<float> dst(std::vector<float>(k, kSentinel), side);
  const DequantizeArgs args = {.src = src.data(), .dst = dst.data(), .k = k};
  entry.fn.dequantize(&args);
  Words words;
  append(&words, dst.copy());
  return words;
}

Words run_norm(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  Words words;
  for (bool weighted : {false, true}) {
    for (bool accumulate : {false, true}) {
      for (bool aliased : {false, true}) {
        Guarded<float> x(make_floats(n, flavour, 5), side);
        Guarded<float> weight(make_floats(n, Flavour::kPlain, 6), side);
        Guarded<float> y(make_floats(n, Flavour::kPlain, 7), side);
        float* to = aliased ? x.data() : y.data();
        const NormArgs args = {.x = x.data(),
                               .weight = weighted ? weight.data() : nullptr,
                               .y = to,
                               .n = n,
                               .eps = 1e-6f,
                               .accumulate = accumulate};
        entry.fn.norm(&args);
        append(&words, std::vector<float>(to, to + n));
      }
    }
  }
  return words;
}

Words run_glu(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  Words words;
  for (float factor : {1.0f, 30.0f}) {
    std::vector<float> gates = make_floats(n, flavour, 8);
    for (float& gate : gates) gate *= factor;
    Guarded<float> gate(gates, side);
    Guarded<float> up(make_floats(n, Flavour::kPlain, 9), side);
    Guarded<float> y(std::vector<float>(n, kSentinel), side);
    for (float* to : {y.data(), up.data(), gate.data()}) {  // aliases last: they destroy an input
      Guarded<float> up_copy(up.copy(), side);
      const GluArgs args = {
          .gate = gate.data(), .up = to == up.data() ? up.data() : up_copy.data(), .y = to, .n = n};
      entry.fn.glu(&args);
      append(&words, std::vector<float>(to, to + n));
    }
  }
  return words;
}

Words run_rope(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  const size_t half = n;
  Guarded<float> x(make_floats(2 * half, flavour, 10), side);
  std::vector<float> cosines(half), sines(half);
  for (size_t i = 0; i < half; ++i) {
    cosines[i] = std::cos(static_cast<float>(i) * 0.37f);
    sines[i] = std::sin(static_cast<float>(i) * 0.37f);
  }
  Guarded<float> cos(cosines, side), sin(sines, side);
  const RopeArgs args = {.x = x.data(), .cos = cos.data(), .sin = sin.data(), .n_rot = 2 * half};
  entry.fn.rope(&args);
  Words words;
  append(&words, x.copy());
  return words;
}

Words run_unary(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  Words words;
  for (float scalar : {30.0f, 0.125f}) {
    Guarded<float> y(make_floats(n, flavour, 11), side);
    Guarded<float> x(make_floats(n, flavour, 12), side);
    const UnaryArgs args = {.y = y.data(), .x = x.data(), .n = n, .scalar = scalar};
    entry.fn.unary(&args);
    append(&words, y.copy());
  }
  return words;
}

size_t cache_bytes(Format format, size_t head_dim) {
  return NIBBLE_KEY_BLOCK * row_bytes(format, head_dim);
}

// Stores one position by the scalar kernel of a quantised cache.
void put_quantized(Format format, size_t head_dim, size_t slot, Flavour flavour,
                   std::vector<uint8_t>* k_cache, std::vector<uint8_t>* v_cache) {
  const auto seed = static_cast<unsigned>(slot);
  const std::vector<float> k = make_floats(head_dim, flavour, 100 + seed);
  const std::vector<float> v = make_floats(head_dim, flavour, 300 + seed);
  const ToKvArgs args = {.k = k.data(),
                         .v = v.data(),
                         .k_block = k_cache->data(),
                         .v_block = v_cache->data(),
                         .slot = slot,
                         .head_dim = head_dim};
  select_kernel(Op::kToKv, format, 0)->entry->fn.to_kv(&args);
}

Words run_to_kv(const KernelEntry& entry, size_t head_dim, Flavour flavour, GuardSide side) {
  Words words;
  for (size_t slot : {0, 1, 15, 16, 127}) {
    const size_t bytes = cache_bytes(entry.format, head_dim);
    Guarded<float> k(make_floats(head_dim, flavour, 13), side);
    Guarded<float> v(make_floats(head_dim, flavour, 14), side);
    Guarded<uint8_t> k_block(std::vector<uint8_t>(bytes, 0x11), side);
    Guarded<uint8_t> v_block(std::vector<uint8_t>(bytes, 0x11), side);
    const ToKvArgs args = {.k = k.data(),
                           .v = v.data(),
                           .k_block = k_block.data(),
                           .v_block = v_block.data(),
                           .slot = slot,
                           .head_dim = head_dim};
    entry.fn.to_kv(&args);
    append(&words, k_block.copy());
    append(&words, v_block.copy());
  }
  return words;
}

struct Keys {
  int32_t begin, end;
};

// One call on `keys.size()` query rows. Cache slots that no row sees hold NaN.
Words run_attend(const KernelEntry& entry, size_t head_dim, const std::vector<Keys>& keys,
                 float softcap, Flavour flavour, GuardSide side) {
  const size_t rows = keys.size();
  const FormatInfo& format = format_info(entry.format);
  const size_t element = format.block_bytes;
  std::vector<uint8_t> k_cache(cache_bytes(entry.format, head_dim), 0xff);
  std::vector<uint8_t> v_cache(cache_bytes(entry.format, head_dim), 0xff);
  const Shape all = {1, NIBBLE_KEY_BLOCK, head_dim};
  const std::vector<uint8_t> k_rows = make_weights(entry.format, all, flavour, 15);
  const std::vector<uint8_t> v_rows = make_weights(entry.format, all, flavour, 16);
  for (size_t j = 0; j < NIBBLE_KEY_BLOCK; ++j) {
    bool seen = false;
    for (const Keys& range : keys) {
      seen |= static_cast<int32_t>(j) >= range.begin && static_cast<int32_t>(j) < range.end;
    }
    if (seen && format.block > 1) {
      put_quantized(entry.format, head_dim, j, flavour, &k_cache, &v_cache);
      continue;
    }
    for (size_t d = 0; seen && d < head_dim; ++d) {
      const size_t from = (j * head_dim + d) * element;
      const size_t to = ((j / 16 * head_dim + d) * 16 + j % 16) * element;
      std::memcpy(&k_cache[to], &k_rows[from], element);
      std::memcpy(&v_cache[from], &v_rows[from], element);
    }
  }
  const size_t stride = head_dim + 5;
  const size_t count = (rows - 1) * stride + head_dim;
  Guarded<float> q(make_floats(count, Flavour::kPlain, 17), side);
  std::vector<float> outs(count, kSentinel);
  std::vector<float> maxima(rows, -INFINITY), sums(rows, 0.0f);
  std::vector<int32_t> begins, ends;
  for (size_t r = 0; r < rows; ++r) {
    const bool fresh = r % 3 != 0;
    for (size_t d = 0; d < head_dim; ++d) {
      outs[r * stride + d] = fresh ? 0.0f : static_cast<float>(d) * 0.1f - 0.2f;
    }
    if (!fresh) maxima[r] = 0.5f, sums[r] = 3.25f;
    begins.push_back(keys[r].begin);
    ends.push_back(keys[r].end);
  }
  Guarded<uint8_t> k_block(k_cache, side), v_block(v_cache, side);
  Guarded<int32_t> begin(begins, side), end(ends, side);
  Guarded<float> max(maxima, side), sum(sums, side), out(outs, side);
  const AttendArgs args = {.q = q.data(),
                           .q_stride = stride,
                           .k_block = k_block.data(),
                           .v_block = v_block.data(),
                           .begin = begin.data(),
                           .end = end.data(),
                           .max = max.data(),
                           .sum = sum.data(),
                           .out = out.data(),
                           .out_stride = stride,
                           .rows = rows,
                           .head_dim = head_dim,
                           .softcap = softcap};
  entry.fn.attend(&args);
  Words words;
  append(&words, max.copy());
  append(&words, sum.copy());
  append(&words, out.copy());
  return words;
}

Words run_attend(const KernelEntry& entry, size_t head_dim, Flavour flavour, GuardSide side) {
  // Whole, causal, windows, empty rows, no key common to all rows.
  const std::vector<std::vector<Keys>> cases = {
      {{0, 128}},
      {{127, 128}},
      {{5, 21}, {0, 0}, {6, 22}},
      {{0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 7}},
      {{0, 128}, {0, 128}, {0, 128}, {0, 128}, {1, 127}, {16, 112}, {17, 111}, {0, 128}, {3, 100}},
      {{0, 10}, {20, 30}, {40, 50}, {60, 128}},
      {{9, 9}, {128, 128}, {7, 3}},
      std::vector<Keys>(17, {33, 97}),
  };
  Words words;
  for (const std::vector<Keys>& keys : cases) {
    for (float softcap : {0.0f, 5.0f}) {
      const Words part = run_attend(entry, head_dim, keys, softcap, flavour, side);
      words.insert(words.end(), part.begin(), part.end());
    }
  }
  return words;
}

Words run_merge(const KernelEntry& entry, size_t head_dim, Flavour flavour, GuardSide side) {
  Words words;
  const float maxima[] = {-INFINITY, -3.0f, 0.0f, 88.0f};
  for (float first : maxima) {
    for (float second : maxima) {
      Guarded<float> max(std::vector<float>{first}, side), sum(std::vector<float>{1.5f}, side);
      Guarded<float> other_max(std::vector<float>{second}, side);
      Guarded<float> other_sum(std::vector<float>{0.75f}, side);
      Guarded<float> out(make_floats(head_dim, flavour, 18), side);
      Guarded<float> other_out(make_floats(head_dim, flavour, 19), side);
      const AttendMergeArgs args = {.max = max.data(),
                                    .sum = sum.data(),
                                    .out = out.data(),
                                    .other_max = other_max.data(),
                                    .other_sum = other_sum.data(),
                                    .other_out = other_out.data(),
                                    .head_dim = head_dim};
      entry.fn.merge(&args);
      append(&words, max.copy());
      append(&words, sum.copy());
      append(&words, out.copy());
    }
  }
  return words;
}

// An op that works on one row of n elements (n heads' worth for attention).
Words run_row(const KernelEntry& entry, size_t n, Flavour flavour, GuardSide side) {
  switch (entry.op) {
    case Op::kQuantizeRow:
      return run_quantize(entry, n, flavour, side);
    case Op::kToQ4_0:
      return run_to_q4_0(entry, n, flavour, side);
    case Op::kDequantizeRow:
      return run_dequantize(entry, n, flavour, side);
    case Op::kRmsNorm:
      return run_norm(entry, n, flavour, side);
    case Op::kGeluMul:
    case Op::kSiluMul:
      return run_glu(entry, n, flavour, side);
    case Op::kRopeNeox:
    case Op::kRopeNorm:
      return run_rope(entry, n, flavour, side);
    case Op::kAdd:
    case Op::kScale:
    case Op::kSoftcap:
      return run_unary(entry, n, flavour, side);
    case Op::kToKv:
      return run_to_kv(entry, n, flavour, side);
    case Op::kAttend:
      return run_attend(entry, n, flavour, side);
    case Op::kAttendMerge:
      return run_merge(entry, n, flavour, side);
    case Op::kMatmul:
    case Op::kPeak:
    case Op::kCount:
      break;
  }
  ADD_FAILURE() << "no runner for " << op_name(entry.op);
  return {};
}

// Other machines are mostly emulated: half the shapes, the odd ones, in a third of the time.
#if defined(__x86_64__)
constexpr bool kFewShapes = false;
#else
constexpr bool kFewShapes = true;
#endif

std::vector<Shape> matmul_shapes(const KernelEntry& entry) {
  std::vector<Shape> shapes;
  if (kFewShapes) {
    const size_t k = std::max<size_t>(format_info(entry.format).block, 64);
    for (size_t m = 1; m <= 17; ++m) shapes.push_back({m, 19, k});
    for (size_t n : {1, 4, 7, 8, 9, 17, 33}) shapes.push_back({3, n, 2 * k});
    shapes.push_back({33, 9, 5 * k});
    if (format_info(entry.format).block == 1) {
      for (size_t odd : {1, 15, 17, 127}) shapes.push_back({5, 7, odd});
    }
    return shapes;
  }
  if (format_info(entry.format).block == 256) {
    for (size_t m = 1; m <= 17; ++m) shapes.push_back({m, 19, 256});
    for (size_t n : {1, 7, 8, 9, 15, 16, 17, 33}) {
      for (size_t m : {1, 3, 33}) shapes.push_back({m, n, 512});
    }
    for (size_t m : {1, 4, 5, 17}) shapes.push_back({m, 18, 1280});
    return shapes;
  }
  for (size_t m = 1; m <= 17; ++m) shapes.push_back({m, 19, 64});
  for (size_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50}) {
    for (size_t m : {1, 3, 33}) shapes.push_back({m, n, 96});
  }
  for (size_t m : {1, 2, 16, 33}) shapes.push_back({m, 37, 32});
  for (size_t m : {1, 4, 5, 17}) shapes.push_back({m, 18, 1152});
  if (format_info(entry.format).block == 1) {
    for (size_t k : {1, 2, 8, 15, 16, 17, 31, 33, 47, 65, 127}) {
      for (size_t m : {1, 2, 5}) shapes.push_back({m, 7, k});
    }
  }
  return shapes;
}

std::vector<size_t> row_sizes(const KernelEntry& entry) {
  if (entry.op == Op::kAttend || entry.op == Op::kToKv) {  // head_dim
    if (format_info(entry.format).block > 1) {
      return kFewShapes ? std::vector<size_t>{96} : std::vector<size_t>{32, 64, 96, 128};
    }
    return kFewShapes ? std::vector<size_t>{17, 80} : std::vector<size_t>{1, 8, 17, 64, 80, 144};
  }
  return {1, 2, 5, 8, 15, 16, 17, 24, 31, 32, 33, 48, 64, 128, 256, 1152};
}

void compare(const Kernel& kernel, const std::string& what,
             const std::function<Words(const KernelEntry&, GuardSide)>& run) {
  const Kernel* scalar = select_kernel(kernel.entry->op, kernel.entry->format, 0);
  const Words want = run(*scalar->entry, GuardSide::kEnd);
  for (GuardSide side : {GuardSide::kStart, GuardSide::kEnd}) {
    const std::string found = difference(run(*kernel.entry, side), want);
    ASSERT_EQ(found, "") << kernel.id() << " " << what;
  }
}

// The scalar kernels run too: against themselves they still have to keep to their buffers.
class EveryKernel : public testing::TestWithParam<Kernel> {};

TEST_P(EveryKernel, GivesTheBitsOfScalar) {
  const Kernel& kernel = GetParam();
  if ((kernel.level->required & ~detect_cpu_features()) != 0) {
    GTEST_SKIP() << "this CPU lacks features of " << kernel.level->name;
  }
  for (Flavour flavour : kFlavours) {
    const std::string flavour_name = " flavour " + std::to_string(static_cast<int>(flavour));
    if (kernel.entry->op == Op::kMatmul) {
      for (const Shape& s : matmul_shapes(*kernel.entry)) {
        const std::string what = "m " + std::to_string(s.m) + " n " + std::to_string(s.n) + " k " +
                                 std::to_string(s.k) + flavour_name;
        ASSERT_NO_FATAL_FAILURE(
            compare(kernel, what, [&](const KernelEntry& entry, GuardSide side) {
              return run_matmul(entry, s, flavour, side);
            }));
      }
    } else {
      for (size_t n : row_sizes(*kernel.entry)) {
        ASSERT_NO_FATAL_FAILURE(compare(kernel, "n " + std::to_string(n) + flavour_name,
                                        [&](const KernelEntry& entry, GuardSide side) {
                                          return run_row(entry, n, flavour, side);
                                        }));
      }
    }
  }
}

// All but the probe of the machine's limit, which has no result.
std::vector<Kernel> kernels_with_results() {
  std::vector<Kernel> kernels;
  for (const Kernel& kernel : all_kernels()) {
    if (kernel.entry->op != Op::kPeak) kernels.push_back(kernel);
  }
  return kernels;
}

std::string kernel_name(const testing::TestParamInfo<Kernel>& param) {
  std::string name = param.param.id();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(, EveryKernel, testing::ValuesIn(kernels_with_results()), kernel_name);

}  // namespace

// GoogleTest prints parameters with it.
void PrintTo(const Kernel& kernel, std::ostream* out) {
  *out << kernel.id();
}

}  // namespace nibble
