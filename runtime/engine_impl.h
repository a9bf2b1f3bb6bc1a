// What an Engine holds: the machine, the team, the kernels, and the lock that gives regions to one
// session at a time. Read next: engine.cpp, session.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/machine/thread_team.h"
#include "runtime/machine/topology.h"
#include "runtime/machine/turns.h"
#include "runtime/ops/kernel_set.h"

namespace nibble {

struct Engine::Impl {
  explicit Impl(CpuFeatures features) : kernels(features) {}

  Topology topology;
  KernelSet kernels;
  std::unique_ptr<ThreadTeam> team;
  Turns regions;  // held by whoever uses the team
  std::vector<std::string> notes;
};

}  // namespace nibble
