// libFuzzer's side of the targets: NIBBLE_FUZZ_TARGET names the one that runs (tools/dev fuzz).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/fuzz/targets.h"

namespace {

const nibble::fuzz::Target* target = nullptr;

}  // namespace

extern "C" {

size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t longest);

int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("NIBBLE_FUZZ_TARGET");
  target = nibble::fuzz::find_target(name == nullptr ? "" : name);
  if (target != nullptr) return 0;
  std::fputs("fuzz: NIBBLE_FUZZ_TARGET must name one of:", stderr);
  for (const auto& known : nibble::fuzz::all_targets()) std::fprintf(stderr, " %s", known.name);
  std::fputs("\n", stderr);
  std::exit(64);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t longest, unsigned seed) {
  nibble::fuzz::Random random(seed);
  if (target->mutate != nullptr && random.below(4) != 0) {
    const auto changed = target->mutate({reinterpret_cast<char*>(data), size}, random);
    if (!changed.empty() && changed.size() <= longest) {
      std::copy(changed.begin(), changed.end(), data);
      return changed.size();
    }
  }
  return LLVMFuzzerMutate(data, size, longest);
}

}  // extern "C"
