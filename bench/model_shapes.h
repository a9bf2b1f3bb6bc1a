// The matrices of a model file, as shapes to bench.
#pragma once

#include <string>
#include <vector>

#include "bench/kernel_case.h"

namespace nibble {

// Every distinct format and shape among the matrices of a GGUF file, in its order, each with the
// tokens of `tokens`; the embedding and the output head with one token only, as they are used.
// Errors: 65, 66, 77 as GgufFile::open(); 65 when no matrix has a format of ours. `notes` gets a
// line for each type that has no kernels.
Result<std::vector<MatmulShape>> model_shapes(const std::string& path,
                                              const std::vector<size_t>& tokens,
                                              std::vector<std::string>* notes);

}  // namespace nibble
