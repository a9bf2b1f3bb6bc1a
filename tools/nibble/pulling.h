// Downloads as a person sees them: what it will take of this machine, a progress bar, notes. Read
// next: hub/pull.h, model_file.h.
#pragma once

#include <string>

#include "nibble/result.h"
#include "tools/nibble/hub/pull.h"

namespace nibble::cli {

// What to do with a model that this machine cannot run.
enum class Unfit {
  kAsk,     // at a terminal; elsewhere say so and download it, as asked
  kRefuse,  // it is wanted for running now
};

// pull_model() with everything said on stderr. The options' callbacks are set here.
Result<hub::Pulled> pull_with_progress(const std::string& name, hub::PullOptions options,
                                       Unfit unfit);

}  // namespace nibble::cli
