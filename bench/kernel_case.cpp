#include "bench/kernel_case.h"

#include <cctype>

#include "simd/format.h"

namespace nibble {

std::string format_and_level(const Kernel& kernel) {
  std::string text(format_info(kernel.entry->format).name);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text.append("/").append(kernel.level->name);
}

std::vector<CaseSpec> cases_for(const Kernel& kernel, const std::vector<MatmulShape>& shapes) {
  switch (kernel.entry->op) {
    case Op::kMatmul:
      return matmul_cases(kernel, shapes);
    case Op::kToKv:
    case Op::kAttend:
    case Op::kAttendMerge:
      return attention_cases(kernel);
    case Op::kQuantizeRow:
    case Op::kToQ4_0:
    case Op::kDequantizeRow:
    case Op::kRmsNorm:
    case Op::kGeluMul:
    case Op::kSiluMul:
    case Op::kRopeNeox:
    case Op::kRopeNorm:
    case Op::kAdd:
    case Op::kScale:
    case Op::kSoftcap:
    case Op::kPeak:
      return row_cases(kernel);
    case Op::kCount:
      break;
  }
  return {};
}

}  // namespace nibble
