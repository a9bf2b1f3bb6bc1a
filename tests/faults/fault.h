// Runs the program with fault_shim.cpp before it, whose head says what a fault is.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/cli/child.h"

namespace nibble::test {

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline size_t files_in(const std::string& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

// The error is one that a person can act upon: of nibble/result.h, not "a bug".
inline bool is_clear_error(const Outcome& outcome) {
  return outcome.code >= 64 && outcome.code < 78 && outcome.code != 70 &&
         outcome.err.find("nibble: ") != std::string::npos;
}

#if defined(NIBBLE_FAULT_SHIM)

inline long faults_tried = 0;  // by all tests of this program

inline Environment with_fault(const std::string& fault, Environment more = {}) {
  faults_tried += !fault.empty();
  more["LD_PRELOAD"] = NIBBLE_FAULT_SHIM;
  more["NIBBLE_FAULT"] = fault;
  more["NIBBLE_THREADS"] = "2";
  return more;
}

// "write:3:kill"; `onwards` "+": that call and all behind it.
inline std::string at_place(const std::string& call, long place, const std::string& what,
                            const char* onwards = "") {
  return call + ":" + std::to_string(place) + onwards + ":" + what;
}

// How often the program makes each call in a run without faults.
inline std::map<std::string, long> count_calls(const std::vector<std::string>& arguments,
                                               const Environment& more = {}) {
  const Folder folder;
  Environment environment = with_fault("", more);
  environment["NIBBLE_FAULT_COUNT"] = folder.file("n");
  const Outcome outcome = run(arguments, {.environment = environment});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::map<std::string, long> counts;
  std::ifstream file(folder.file("n"));
  std::string name;
  for (long number = 0; file >> name >> number;) counts[name] = number;
  return counts;
}

inline bool tries_all() {
  return std::getenv("NIBBLE_FAULTS_ALL") != nullptr;
}

// The places to try: all when there are few of them, else the first, the last and some between.
inline std::vector<long> places(long count, long most) {
  std::vector<long> chosen;
  const bool all = tries_all() || count <= most;
  for (long i = 1; i <= count; ++i) {
    if (all || i == 1 || i == count || i % (count / most + 1) == 0) chosen.push_back(i);
  }
  return chosen;
}

#endif  // NIBBLE_FAULT_SHIM

}  // namespace nibble::test
