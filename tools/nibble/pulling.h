// Downloads as a person sees them: what it will take of this machine, a progress bar, notes. Read
// next: hub/pull.h, model_file.h.
#pragma once

#include <string>

#include "nibble/nibble.h"
#include "tools/nibble/hub/pull.h"

namespace nibble::cli {

// What to do with a model that this machine cannot run.
enum class Unfit {
  kAsk,     // at a terminal; elsewhere say so and download it, as asked
  kRefuse,  // it is wanted for running now
};

// What running it as `load` says takes, in a sentence; empty where its header was not read. Error
// 71 where that is more than this machine has, or than load.memory_limit.
Result<std::string> memory_need(const hub::PullPlan& plan, const LoadOptions& load);

// pull_model() with everything said on stderr. The options' callbacks are set here.
Result<hub::Pulled> pull_with_progress(const std::string& name, hub::PullOptions options,
                                       Unfit unfit, const LoadOptions& load);

}  // namespace nibble::cli
