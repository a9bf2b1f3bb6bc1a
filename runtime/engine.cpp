#include <algorithm>
#include <cstdlib>

#include "runtime/engine_impl.h"
#include "runtime/machine/core_speed.h"
#include "runtime/machine/team_plan.h"
#include "simd/format.h"

namespace nibble {
namespace {

Result<TeamPlan> make_plan(const Topology& machine, CpuFeatures features,
                           const EngineOptions& options) {
  TeamRequest request;
  request.threads = options.threads;
  request.prompt_threads = options.prompt_threads;
  request.cpus = options.cpus;
  request.numa = options.numa;
  request.kind_speeds = options.core_speeds;
  const auto kinds = static_cast<size_t>(machine.core_kinds);
  if (!options.core_speeds.empty() && options.core_speeds.size() != kinds) {
    return Error{ErrorCode::kUsage, "core speeds: " + std::to_string(options.core_speeds.size()) +
                                        " given, but this machine has " + std::to_string(kinds) +
                                        (kinds == 1 ? " kind" : " kinds") +
                                        " of core (nibble cpu shows them)"};
  }
  if (request.kind_speeds.empty() && machine.core_kinds > 1) {
    request.kind_speeds = core_speeds(machine, features, options.cache_directory);
  }
  return plan_team(machine, request);
}

}  // namespace

std::string_view version() {
  return NIBBLE_VERSION;
}

Engine::Engine() = default;
Engine::~Engine() = default;

Result<std::shared_ptr<Engine>> Engine::create(const EngineOptions& options) {
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
  NIBBLE_TRY(const TeamPlan plan, make_plan(impl.topology, features, options));
  NIBBLE_TRY(impl.team, ThreadTeam::create(plan));
  const auto threads = static_cast<int>(plan.workers.size());
  if (impl.team->size() < threads) {
    impl.notes.push_back("only " + std::to_string(impl.team->size()) + " of " +
                         std::to_string(threads) + " threads could be started");
  }
  return engine;
}

int Engine::threads() const {
  return std::min(impl_->team->plan().decoders, impl_->team->capacity());
}

int Engine::prompt_threads() const {
  return std::min(impl_->team->plan().readers, impl_->team->capacity());
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
