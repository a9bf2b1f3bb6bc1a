// Machines that are made up: a directory in place of "/", and what hwloc writes about processors.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "runtime/machine/cgroup.h"
#include "runtime/machine/topology.h"

namespace nibble::test {

namespace fs = std::filesystem;

// Four CPUs by /proc and /sys, no limits, nothing of hwloc.
class FakeMachine : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nibble_topology_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    root_ = pattern;
    write("/proc/self/status", "Name:\tnibble\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n");
    write("/sys/devices/system/cpu/online", "0-3\n");
    write("/proc/meminfo", "MemTotal:       8000000 kB\nMemFree: 1 kB\n");
    write("/proc/cmdline", "quiet\n");
    write("/proc/self/cgroup", "0::/\n");
    write("/proc/self/mountinfo", "25 1 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path.substr(1)).parent_path());
    std::ofstream(root_ / path.substr(1)) << text;
  }
  void remove(const std::string& path) const { fs::remove_all(root_ / path.substr(1)); }
  CgroupLimits limits() const { return read_cgroup_limits(root_.string()); }
  Topology topology() const { return detect_topology(root_.string()); }
  void allow(const std::string& list, const std::string& online) const {
    write("/proc/self/status", "Cpus_allowed_list:\t" + list + "\n");
    write("/sys/devices/system/cpu/online", online + "\n");
  }

  fs::path root_;
};

// Equal cores of one memory node. CPUs are numbered as they come, siblings beside each other.
struct MadeCores {
  int cores = 1;
  int threads = 1;        // hardware threads of each
  std::string kind = {};  // "IntelCore", "IntelAtom"; empty: none is told
  int clock_mhz = 0;      // 0: none is told
};
using MadeNode = std::vector<MadeCores>;
using MadePackage = std::vector<MadeNode>;

// The XML of hwloc 2 for such packages; `missing` CPUs are switched off.
class MadeXml {
 public:
  explicit MadeXml(const std::vector<MadePackage>& packages, std::set<int> missing = {})
      : missing_(std::move(missing)) {
    for (const MadePackage& package : packages) body_ += package_xml(package);
    std::string kinds;
    for (const auto& [cpus, info] : kinds_) {
      kinds += "<cpukind cpuset=\"" + mask(cpus) + "\">" + info + "</cpukind>\n";
    }
    std::set<int> nodes;
    for (int node = 0; node < node_; ++node) nodes.insert(node);
    text_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<topology version=\"2.0\">\n" +
            open("Machine", 0, all_, nodes) + body_ + "</object>\n" + kinds + "</topology>\n";
  }
  const std::string& text() const { return text_; }
  std::string cpus() const { return "0-" + std::to_string(cpu_ - 1); }

 private:
  // hwloc's form: groups of 32 bits, the highest first.
  static std::string mask(const std::set<int>& numbers) {
    const int groups = numbers.empty() ? 1 : *numbers.rbegin() / 32 + 1;
    std::string text;
    for (int group = groups - 1; group >= 0; --group) {
      unsigned bits = 0;
      for (const int number : numbers) {
        if (number / 32 == group) bits |= 1u << (number % 32);
      }
      char part[16];
      std::snprintf(part, sizeof(part), "0x%08x", bits);
      text += (text.empty() ? "" : ",") + std::string(part);
    }
    return text;
  }

  std::string open(const std::string& type, int index, const std::set<int>& cpus,
                   const std::set<int>& nodes, const std::string& more = {}) {
    std::string text = "<object type=\"" + type + "\"";
    if (index >= 0) text += " os_index=\"" + std::to_string(index) + "\"";
    for (const char* prefix : {"", "complete_"}) {
      text += std::string(" ") + prefix + "cpuset=\"" + mask(cpus) + "\" " + prefix + "nodeset=\"" +
              mask(nodes) + "\"";
    }
    if (type == "Machine") {
      text += " allowed_cpuset=\"" + mask(cpus) + "\" allowed_nodeset=\"" + mask(nodes) + "\"";
    }
    return text + " gp_index=\"" + std::to_string(++object_) + "\"" + more + ">\n";
  }

  std::string package_xml(const MadePackage& package) {
    std::set<int> cpus;
    std::set<int> nodes;
    std::string inside;
    for (const MadeNode& node : package) {
      nodes.insert(node_);
      inside += node_xml(node, package.size() > 1, &cpus);
      ++node_;
    }
    return open("Package", package_++, cpus, nodes) + inside + "</object>\n";
  }

  std::string node_xml(const MadeNode& node, bool grouped, std::set<int>* package) {
    std::set<int> mine;
    std::string cores;
    for (const MadeCores& kind : node) {
      std::set<int> of_kind;
      for (int i = 0; i < kind.cores; ++i) cores += core_xml(kind, &of_kind);
      std::string info;
      if (!kind.kind.empty()) info += "<info name=\"CoreType\" value=\"" + kind.kind + "\"/>";
      if (kind.clock_mhz > 0) {
        info += "<info name=\"FrequencyMaxMHz\" value=\"" + std::to_string(kind.clock_mhz) + "\"/>";
      }
      if (!info.empty() && !of_kind.empty()) kinds_.emplace_back(of_kind, info);
      mine.insert(of_kind.begin(), of_kind.end());
    }
    package->insert(mine.begin(), mine.end());
    std::string text = open("NUMANode", node_, mine, {node_}, " local_memory=\"4294967296\"") +
                       "<page_type size=\"4096\" count=\"1048576\"/></object>\n" + cores;
    if (!grouped) return text;
    return open("Group", -1, mine, {node_}, " kind=\"10\" subkind=\"0\"") + text + "</object>\n";
  }

  std::string core_xml(const MadeCores& kind, std::set<int>* cpus) {
    std::set<int> mine;
    std::string inside;
    for (int i = 0; i < kind.threads; ++i, ++cpu_) {
      if (missing_.contains(cpu_)) continue;
      mine.insert(cpu_);
      inside += open("PU", cpu_, {cpu_}, {node_}) + "</object>\n";
    }
    const int index = core_++;
    if (mine.empty()) return {};
    cpus->insert(mine.begin(), mine.end());
    all_.insert(mine.begin(), mine.end());
    return open("Core", index, mine, {node_}) + inside + "</object>\n";
  }

  std::set<int> missing_;
  std::set<int> all_;
  std::vector<std::pair<std::set<int>, std::string>> kinds_;
  std::string body_;
  std::string text_;
  int cpu_ = 0, core_ = 0, node_ = 0, package_ = 0, object_ = 0;
};

}  // namespace nibble::test
