#include "bench/options.h"

#include <charconv>
#include <string_view>

namespace nibble {
namespace {

constexpr int kMostThreads = 1024;            // of a team
constexpr size_t kMostMib = size_t{1} << 30;  // a PiB: no sum of bytes wraps
constexpr size_t kMostSide = size_t{1} << 24;

Error bad_value(std::string_view flag, std::string_view value, std::string_view wanted) {
  return {ErrorCode::kUsage, std::string(flag) + "=" + std::string(value) + ": want " +
                                 std::string(wanted) + "; see --help"};
}

// A whole number from 1 to `most`; 0 when the text is none.
size_t parse_count(std::string_view text, size_t most) {
  size_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && number <= most ? number : 0;
}

Result<Shape> parse_shape(std::string_view text) {
  size_t sides[3] = {};
  std::string_view rest = text;
  for (size_t i = 0; i < 3; ++i) {
    const size_t comma = i < 2 ? rest.find(',') : rest.size();
    if (comma == std::string_view::npos) break;
    sides[i] = parse_count(rest.substr(0, comma), kMostSide);
    if (i < 2) rest.remove_prefix(comma + 1);
  }
  const Shape shape = {sides[0], sides[1], sides[2]};
  if (shape.m == 0 || shape.n == 0 || shape.k == 0 || shape.k % NIBBLE_BLOCK != 0) {
    return bad_value("--shape", text,
                     "M,N,K (tokens, rows, depth), each 1 to 16777216, K a multiple of 32");
  }
  return shape;
}

Result<void> take(std::string_view flag, std::string_view value, Options* options) {
  if (flag == "--shape") {
    NIBBLE_TRY(const Shape shape, parse_shape(value));
    options->shapes.push_back(shape);
  } else if (flag == "--threads") {
    options->threads = static_cast<int>(parse_count(value, kMostThreads));
    if (options->threads == 0) return bad_value(flag, value, "a number from 1 to 1024");
  } else if (flag == "--cold-mib") {
    options->cold_mib = parse_count(value, kMostMib);
    if (options->cold_mib == 0) return bad_value(flag, value, "a number of MiB, 1 or more");
  } else {
    if (value.empty()) return bad_value(flag, value, "the name of a file");
    (flag == "--model" ? options->model : options->jsonl) = value;
  }
  return {};
}

}  // namespace

Result<Options> parse_options(int* argc, char** argv) {
  Options options;
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string_view arg = argv[i];
    const std::string_view flag = arg.substr(0, arg.find('='));
    if (arg == "--help" || arg == "-h") {
      options.help = true;
    } else if (flag != "--shape" && flag != "--threads" && flag != "--cold-mib" &&
               flag != "--model" && flag != "--jsonl") {
      argv[kept++] = argv[i];
    } else if (flag == arg) {
      return Error{ErrorCode::kUsage, std::string(flag) + " needs a value: " + std::string(flag) +
                                          "=VALUE; see --help"};
    } else {
      NIBBLE_TRY_VOID(take(flag, arg.substr(flag.size() + 1), &options));
    }
  }
  *argc = kept;
  if (!options.shapes.empty() && !options.model.empty()) {
    return Error{ErrorCode::kUsage,
                 "--shape and --model both say which matrices: give one of them"};
  }
  return options;
}

const char* help_text() {
  return R"(kernels_bench [FLAG...]    times every kernel of nibble, one at a time

What is run:
  --shape=M,N,K      M tokens times N x K weights; may be given several times
                     (default: the feed-forward matrices of Gemma 3 1B)
  --model=FILE.gguf  every matrix shape and format of this model instead
  --threads=N        threads, each pinned to a core (default 1); kernels of one
                     row or head then run on all of them at once
  --cold-mib=N       weights of a /cold benchmark in MiB (default: 4 times the
                     last-level cache, at most half of the free memory)
  --benchmark_filter=REGEX   by name; a leading - excludes what matches
  --benchmark_list_tests     only list the names

How long and how often:
  --benchmark_min_time=S     seconds each (default 0.5)
  --benchmark_repetitions=N  runs of each, with mean, median and deviation
  --benchmark_enable_random_interleaving=true   in random order

Results as files:
  --benchmark_out=FILE       JSON, as Google Benchmark's compare.py reads it
  --jsonl=FILE               one JSON object a line, each with the machine

Examples:
  kernels_bench --benchmark_filter='gemv/q4_0/.*/cold'
  kernels_bench --benchmark_filter='gemm.*avx512' --shape=64,6912,1152
  kernels_bench --model=gemma-3-1b-it-q4_0.gguf --benchmark_filter=/cold
  kernels_bench --benchmark_repetitions=9 --benchmark_out=after.json

Names: gemv/FORMAT/ISA/nROWS/kDEPTH (one token), gemm/FORMAT/ISA/mTOKENS/...,
OP/FORMAT/ISA/SIZE for all other kernels. /cold takes weights from memory;
all others find them in a cache, as far as they fit. bench/README.md tells how
to read the columns.
)";
}

}  // namespace nibble
