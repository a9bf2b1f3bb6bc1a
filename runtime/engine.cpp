#include <cstdlib>

#include "runtime/engine_impl.h"
#include "simd/format.h"

namespace nibble {
namespace {

constexpr int kMaxThreads = 1024;

}  // namespace

std::string_view version() {
  return NIBBLE_VERSION;
}

Engine::Engine() = default;
Engine::~Engine() = default;

Result<std::shared_ptr<Engine>> Engine::create(const EngineOptions& options) {
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return Error{ErrorCode::kUsage, "threads is " + std::to_string(options.threads) +
                                        ", must be 1 to " + std::to_string(kMaxThreads) +
                                        " (or 0 for the machine's default)"};
  }
  std::string isa = options.isa;
  if (isa.empty()) {
    if (const char* forced = std::getenv("NIBBLE_ISA")) isa = forced;
  }
  CpuFeatures features = 0;
  std::string error;
  if (!features_for_isa(isa, detect_cpu_features(), &features, &error)) {
    return Error{ErrorCode::kUsage, error};
  }

  std::shared_ptr<Engine> engine(new Engine);
  engine->impl_ = std::make_unique<Impl>(features);
  Impl& impl = *engine->impl_;
  impl.topology = detect_topology();
  impl.notes = impl.topology.notes;
  const int threads = options.threads != 0 ? options.threads : impl.topology.default_threads();
  NIBBLE_TRY(impl.team, ThreadTeam::create(threads));
  if (impl.team->size() < threads) {
    impl.notes.push_back("only " + std::to_string(impl.team->size()) + " of " +
                         std::to_string(threads) + " threads could be started");
  }
  return engine;
}

int Engine::threads() const {
  return impl_->team->size();
}

std::vector<std::string> Engine::notes() const {
  return impl_->notes;
}

std::vector<Engine::Choice> Engine::choices() const {
  std::vector<Choice> choices;
  for (int op = 0; op < static_cast<int>(Op::kCount); ++op) {
    for (int format = 0; format < static_cast<int>(Format::kCount); ++format) {
      const Kernel* kernel =
          impl_->kernels.kernel(static_cast<Op>(op), static_cast<Format>(format));
      if (kernel == nullptr) continue;
      std::string reason;
      select_kernel(kernel->entry->op, kernel->entry->format, impl_->kernels.features(), &reason);
      choices.push_back({std::string(op_name(kernel->entry->op)) + " " +
                             std::string(format_info(kernel->entry->format).name),
                         kernel->id(), std::string(kernel->level->name), reason});
    }
  }
  return choices;
}

}  // namespace nibble
