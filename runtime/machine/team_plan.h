// Which threads a team has and where they may run: the machine and a person's wishes, as a plan.
//
// Tokens come one by one and are bound by memory; prompts are bound by arithmetic. So there are two
// counts. Decoders: one a physical core of the fastest kind, as a slower core would hold up the
// others and memory is busy without it. Readers of prompts: also cores of slower kinds, as prompts
// are handed out piece by piece. Neither is more than the CPU quota. On a board whose three or four
// equal cores are all there is, decoders leave one core to the rest of the system: two threads read
// all that a Raspberry Pi 5's memory gives, and every token would wait for a thread that shares its
// core. Pure: reads nothing of the system. Read next: thread_team.h, docs/numa.md.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/machine/topology.h"

namespace nibble {

struct TeamRequest {
  int threads = 0;                       // decoders and readers; 0: the defaults above
  int prompt_threads = 0;                // readers, if there shall be another number of them
  std::string cpus = {};                 // "0-3,8": these CPUs alone; empty: all it may use
  std::string numa = "auto";             // "auto"; "off": one node; "0,1": these nodes alone
  std::vector<double> kind_speeds = {};  // by core kind, as measured; empty: the topology's guess
};

struct PlannedWorker {
  int node = 0;  // index into TeamPlan::nodes
  int kind = 0;
  double speed = 1;         // relative to the fastest kind
  std::set<int> cpus = {};  // where it has to stay; empty: wherever it may run
};

struct TeamPlan {
  // The decoders, node by node and the fastest first, then those that only read prompts.
  std::vector<PlannedWorker> workers;
  int decoders = 1;
  int readers = 1;         // the larger of both counts is the number of workers
  std::vector<int> nodes;  // the system's numbers
  // Whether memory has to be bound to those nodes: there are several, or they were asked for.
  bool bind_memory = false;
  bool nodes_chosen = false;  // by a person: every model is spread over them

  // Decoders of the first node: what a model gets that is faster on one.
  int decoders_of_one_node() const;
  bool one_kind() const;
};

// Errors (64): numbers out of range (1 to 1024), and lists that are none or name a CPU or a node
// that this process may not use; the message lists those that it may.
Result<TeamPlan> plan_team(const Topology& machine, const TeamRequest& request);

}  // namespace nibble
