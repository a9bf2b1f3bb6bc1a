#include "runtime/machine/team_plan.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "runtime/machine/cpu_list.h"

namespace nibble {
namespace {

constexpr int kMaxThreads = 1024;
// A core that is slower than this share of the fastest does not help with prompts: all wait for the
// last piece that it takes. The low-power cores of Meteor Lake are at a quarter.
constexpr double kLeastReaderSpeed = 0.35;
// Boards with up to so many cores leave one of them.
constexpr int kBoardCores = 4;

struct Core {
  int node = 0;  // index into the nodes of the plan
  int kind = 0;
  int cpus = 0;   // hardware threads that may be used
  int index = 0;  // among the cores of its node and kind: the order in which they are taken
};

Error wrong_list(const std::string& option, const std::string& text, const std::string& example) {
  return {ErrorCode::kUsage, option + ": '" + text + "' is not a list like " + example};
}

// What is left of the machine.
Result<std::vector<CpuInfo>> usable_cpus(const Topology& machine, const TeamRequest& request) {
  std::set<int> cpus;
  for (const CpuInfo& cpu : machine.cpus) cpus.insert(cpu.os_index);
  if (!request.cpus.empty()) {
    const auto wanted = parse_cpu_list(request.cpus);
    if (!wanted) return wrong_list("--cpus", request.cpus, "0-3,8");
    for (const int cpu : *wanted) {
      if (cpus.contains(cpu)) continue;
      return Error{ErrorCode::kUsage, "--cpus: CPU " + std::to_string(cpu) +
                                          " is not there or not for this process; it may use " +
                                          cpu_list_text(cpus)};
    }
    cpus = *wanted;
  }
  const std::set<int> nodes(machine.node_ids.begin(), machine.node_ids.end());
  std::set<int> wanted_nodes = nodes;
  if (request.numa != "auto" && request.numa != "off") {
    const auto wanted = parse_cpu_list(request.numa);
    if (!wanted) return wrong_list("--numa", request.numa, "auto, off, 0 or 0,1");
    for (const int node : *wanted) {
      if (nodes.contains(node)) continue;
      return Error{ErrorCode::kUsage, "--numa: memory node " + std::to_string(node) +
                                          " is not there or not for this process; it may use " +
                                          cpu_list_text(nodes)};
    }
    wanted_nodes = *wanted;
  }
  std::vector<CpuInfo> usable;
  for (const CpuInfo& cpu : machine.cpus) {
    const int node = machine.node_ids.at(static_cast<size_t>(cpu.node));
    if (cpus.contains(cpu.os_index) && wanted_nodes.contains(node)) usable.push_back(cpu);
  }
  if (usable.empty()) {
    return Error{ErrorCode::kUsage, "--cpus " + request.cpus + " and --numa " + request.numa +
                                        " have no CPU in common"};
  }
  return usable;
}

class Planner {
 public:
  Planner(const Topology& machine, const TeamRequest& request, std::vector<CpuInfo> cpus)
      : machine_(machine), request_(request), cpus_(std::move(cpus)) {
    speeds_ = request.kind_speeds.size() == static_cast<size_t>(machine.core_kinds)
                  ? request.kind_speeds
                  : machine.kind_speeds;
    speeds_.resize(static_cast<size_t>(machine.core_kinds), 1.0);
    collect();
  }

  TeamPlan plan() {
    TeamPlan plan;
    plan.nodes = nodes_;
    plan.nodes_chosen = request_.numa != "auto" && request_.numa != "off";
    plan.bind_memory = nodes_.size() > 1 || plan.nodes_chosen;
    plan.decoders = request_.threads > 0 ? request_.threads : default_decoders();
    plan.readers = request_.prompt_threads > 0 ? request_.prompt_threads
                   : request_.threads > 0      ? request_.threads
                                               : std::max(plan.decoders, default_readers());
    const std::vector<Core> seats = all_seats(std::max(plan.decoders, plan.readers));
    const auto decoders = static_cast<size_t>(plan.decoders);
    std::vector<Core> first(seats.begin(), seats.begin() + plan.decoders);
    std::stable_sort(first.begin(), first.end(), [&](const Core& a, const Core& b) {
      return std::make_tuple(a.node, -speed(a)) < std::make_tuple(b.node, -speed(b));
    });
    const bool bind = plan.bind_memory || kinds_.size() > 1 || !request_.cpus.empty();
    for (size_t i = 0; i < seats.size(); ++i) {
      const Core& core = i < decoders ? first[i] : seats[i];
      PlannedWorker worker{core.node, core.kind, speed(core), {}};
      if (bind) worker.cpus = cpus_like(core, seats.size() > cpus_.size());
      plan.workers.push_back(std::move(worker));
    }
    return plan;
  }

 private:
  double speed(const Core& core) const { return speeds_[static_cast<size_t>(core.kind)]; }

  void collect() {
    std::map<int, int> node_index;  // by the topology's number
    std::map<int, Core> cores;
    std::map<std::pair<int, int>, int> count;
    for (CpuInfo& cpu : cpus_) {
      if (request_.numa == "off") cpu.node = 0;
      const auto [node, fresh] = node_index.emplace(cpu.node, static_cast<int>(node_index.size()));
      if (fresh) nodes_.push_back(machine_.node_ids.at(static_cast<size_t>(cpu.node)));
      cpu.node = node->second;
      const auto [core, is_new] = cores.emplace(cpu.core, Core{cpu.node, cpu.core_kind, 0, 0});
      if (is_new) core->second.index = count[{cpu.node, cpu.core_kind}]++;
      ++core->second.cpus;
      kinds_.insert(cpu.core_kind);
    }
    for (const auto& [id, core] : cores) cores_.push_back(core);
    // The fastest kind first, the nodes in turn.
    std::stable_sort(cores_.begin(), cores_.end(), [&](const Core& a, const Core& b) {
      return std::make_tuple(-speed(a), a.index, a.node) <
             std::make_tuple(-speed(b), b.index, b.node);
    });
  }

  int within_quota(size_t threads) const {
    auto limit = static_cast<double>(threads);
    if (machine_.cpu_quota > 0) limit = std::min(limit, machine_.cpu_quota);
    return std::clamp(static_cast<int>(limit), 1, kMaxThreads);
  }

  int default_decoders() const {
    size_t count = 0;
    while (count < cores_.size()) {
      // Phones have a lone fastest core: it works with the next kind.
      if (count > 1 && cores_[count].kind != cores_[count - 1].kind) break;
      ++count;
    }
    const bool small_board =
        !machine_.board.empty() && request_.cpus.empty() && cores_.size() <= kBoardCores;
    if (small_board && count == cores_.size() && count > 2) --count;
    return within_quota(count);
  }

  int default_readers() const {
    const auto helps = [&](const Core& core) {
      return speed(core) >= kLeastReaderSpeed * speed(cores_.front());
    };
    return within_quota(static_cast<size_t>(std::count_if(cores_.begin(), cores_.end(), helps)));
  }

  // The core of each of `count` workers: every core once, then those with a second hardware thread,
  // then all again.
  std::vector<Core> all_seats(int count) const {
    std::vector<Core> seats;
    for (int turn = 0; seats.size() < static_cast<size_t>(count); ++turn) {
      const bool is_full = seats.size() >= cpus_.size();
      for (const Core& core : cores_) {
        if ((turn < core.cpus || is_full) && seats.size() < static_cast<size_t>(count)) {
          seats.push_back(core);
        }
      }
    }
    return seats;
  }

  // All CPUs of the core's kind and node, not one: the kernel moves a thread away from a busy CPU,
  // and a pinned one waits there for whole time slices (thread_team.cpp has the figures).
  std::set<int> cpus_like(const Core& core, bool any_kind) const {
    std::set<int> cpus;
    for (const CpuInfo& cpu : cpus_) {
      const bool fits = any_kind || cpu.core_kind == core.kind;
      if (cpu.node == core.node && fits) cpus.insert(cpu.os_index);
    }
    return cpus;
  }

  const Topology& machine_;
  const TeamRequest& request_;
  std::vector<CpuInfo> cpus_;  // `node` is an index into nodes_
  std::vector<Core> cores_;
  std::set<int> kinds_;
  std::vector<int> nodes_;
  std::vector<double> speeds_;
};

Result<void> check_count(const char* what, int count) {
  if (count >= 0 && count <= kMaxThreads) return {};
  return Error{ErrorCode::kUsage, std::string(what) + " is " + std::to_string(count) +
                                      ", must be 1 to " + std::to_string(kMaxThreads) +
                                      " (or 0 for the machine's default)"};
}

}  // namespace

int TeamPlan::decoders_of_one_node() const {
  int count = 0;
  while (count < decoders && workers[static_cast<size_t>(count)].node == workers[0].node) ++count;
  return count;
}

bool TeamPlan::one_kind() const {
  return std::all_of(workers.begin(), workers.end(),
                     [&](const PlannedWorker& worker) { return worker.kind == workers[0].kind; });
}

Result<TeamPlan> plan_team(const Topology& machine, const TeamRequest& request) {
  NIBBLE_TRY_VOID(check_count("threads", request.threads));
  NIBBLE_TRY_VOID(check_count("prompt threads", request.prompt_threads));
  NIBBLE_TRY(std::vector<CpuInfo> cpus, usable_cpus(machine, request));
  return Planner(machine, request, std::move(cpus)).plan();
}

}  // namespace nibble
