// Finds the process's group in each hierarchy (see cgroup.h): /proc/self/cgroup names the group,
// /proc/self/mountinfo says where its hierarchy is mounted and which part of it is visible there.
// Formats: proc(5), and the kernel's admin-guide/cgroup-v1, cgroup-v2.
#include "runtime/machine/cgroup.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <string_view>

namespace nibble {
namespace {

// v1 writes "no limit" as the largest multiple of the page size; nobody limits to an exbibyte.
constexpr uint64_t kNoMemoryLimit = uint64_t{1} << 60;

struct Mount {
  std::string root;   // the group at the mount point
  std::string point;  // where it is mounted
};

// One hierarchy of interest: the group this process is in and where to read it.
struct Group {
  std::string path;
  Mount mount;
};

bool has_word(const std::string& list, std::string_view word) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, ',');) {
    if (each == word) return true;
  }
  return false;
}

// mountinfo writes blanks in names as \040.
std::string unescape(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3 && code < 256) {
      result += static_cast<char>(code);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// The path in /proc/self/cgroup: of the v2 line "0::PATH" or of the v1 line with `controller`.
std::optional<std::string> group_path(const std::string& groups, const std::string& controller) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    if (first == std::string::npos) continue;
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool wanted = controller.empty() ? line.substr(0, first) == "0" && controllers.empty()
                                           : has_word(controllers, controller);
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The mount of the v2 hierarchy, or of the v1 hierarchy with `controller`.
std::optional<Mount> find_mount(const std::string& mounts, const std::string& controller) {
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream head(line.substr(0, dash));
    std::istringstream tail(line.substr(dash + 3));
    std::string id, parent, device, root, point, type, source, options;
    head >> id >> parent >> device >> root >> point;
    tail >> type >> source >> options;
    if (controller.empty() ? type == "cgroup2"
                           : type == "cgroup" && has_word(options, controller)) {
      return Mount{unescape(root), unescape(point)};
    }
  }
  return std::nullopt;
}

// The directories from the process's own group up to the mount point.
std::vector<std::string> directories(const std::string& sys_root, const Group& group) {
  std::string below = group.path;
  const std::string& root = group.mount.root;
  if (root != "/") {
    const bool inside = below.compare(0, root.size(), root) == 0 &&
                        (below.size() == root.size() || below[root.size()] == '/');
    below = inside ? below.substr(root.size()) : "";
  }
  // "/../other": our group is outside of what is mounted here; the mount point is the best we see.
  if (below.find("..") != std::string::npos) below.clear();
  std::vector<std::string> result;
  while (!below.empty() && below != "/") {
    result.push_back(sys_root + group.mount.point + below);
    below.resize(below.find_last_of('/') == std::string::npos ? 0 : below.find_last_of('/'));
  }
  result.push_back(sys_root + group.mount.point);
  return result;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

template <typename T>
std::optional<T> number(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

class Reader {
 public:
  explicit Reader(const std::string& sys_root) : sys_root_(sys_root) {}

  CgroupLimits read() {
    const auto groups = read_system_file(sys_root_ + "/proc/self/cgroup");
    const auto mounts = read_system_file(sys_root_ + "/proc/self/mountinfo");
    if (!groups || !mounts) {
      limits_.notes.push_back("/proc/self/cgroup or mountinfo cannot be read: no limit assumed");
      return limits_;
    }
    each_directory(*groups, *mounts, "", [this](const std::string& directory) {
      cpu_max(directory + "/cpu.max");
      memory_limit(directory + "/memory.max");
    });
    each_directory(*groups, *mounts, "cpu", [this](const std::string& directory) {
      cfs_quota(directory + "/cpu.cfs_quota_us", directory + "/cpu.cfs_period_us");
    });
    each_directory(*groups, *mounts, "memory", [this](const std::string& directory) {
      memory_limit(directory + "/memory.limit_in_bytes");
    });
    return limits_;
  }

 private:
  template <typename F>
  void each_directory(const std::string& groups, const std::string& mounts,
                      const std::string& controller, F fn) {
    const auto path = group_path(groups, controller);
    const auto mount = find_mount(mounts, controller);
    if (!path || !mount) return;
    for (const std::string& directory : directories(sys_root_, {*path, *mount})) fn(directory);
  }

  void garbage(const std::string& file, const std::string& text) {
    limits_.notes.push_back(file.substr(sys_root_.size()) + " says '" + text.substr(0, 40) +
                            "': ignored");
  }

  // v2: "max 100000" or "150000 100000" (quota and period in microseconds).
  void cpu_max(const std::string& file) {
    const auto text = read_system_file(file);
    if (!text) return;  // the root group has no limits
    const auto words = words_of(*text);
    if (words.size() == 2 && words[0] == "max") return;
    const auto quota = words.size() == 2 ? number<int64_t>(words[0]) : std::nullopt;
    const auto period = words.size() == 2 ? number<int64_t>(words[1]) : std::nullopt;
    add_quota(file, *text, quota, period);
  }

  // v1: the same in two files; a quota of -1 is none.
  void cfs_quota(const std::string& quota_file, const std::string& period_file) {
    const auto text = read_system_file(quota_file);
    const auto period_text = read_system_file(period_file);
    if (!text || !period_text) return;
    const auto words = words_of(*text + " " + *period_text);
    if (!words.empty() && words[0] == "-1") return;
    const auto quota = words.size() == 2 ? number<int64_t>(words[0]) : std::nullopt;
    const auto period = words.size() == 2 ? number<int64_t>(words[1]) : std::nullopt;
    add_quota(quota_file, *text, quota, period);
  }

  void add_quota(const std::string& file, const std::string& text, std::optional<int64_t> quota,
                 std::optional<int64_t> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return garbage(file, text);
    const double cpus = static_cast<double>(*quota) / static_cast<double>(*period);
    if (limits_.cpu_quota == 0 || cpus < limits_.cpu_quota) limits_.cpu_quota = cpus;
  }

  void memory_limit(const std::string& file) {
    const auto text = read_system_file(file);
    if (!text) return;
    const auto words = words_of(*text);
    if (words.size() == 1 && (words[0] == "max" || words[0] == "-1")) return;
    const auto bytes = words.size() == 1 ? number<uint64_t>(words[0]) : std::nullopt;
    if (!bytes || *bytes == 0) return garbage(file, *text);
    if (*bytes >= kNoMemoryLimit) return;
    uint64_t& limit = limits_.memory_limit_bytes;
    limit = limit == 0 ? *bytes : std::min(limit, *bytes);
  }

  const std::string& sys_root_;
  CgroupLimits limits_;
};

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& sys_root) {
  return Reader(sys_root).read();
}

std::optional<std::string> read_system_file(const std::string& path) {
  constexpr size_t kLimit = size_t{1} << 20;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text;
  char part[4096];
  for (size_t n; text.size() < kLimit && (n = std::fread(part, 1, sizeof(part), file)) > 0;) {
    text.append(part, n);
  }
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) return std::nullopt;
  return text;
}

}  // namespace nibble
