// A control group made for real, where this machine allows it: root, and a writable hierarchy.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace nibble::test {

// A group of its own below `hierarchy`, whose `file` says `limit`; removed at the end, when those
// who entered are gone. "/sys/fs/cgroup" of version 2, of version 1 the folder of a controller.
class RealGroup {
 public:
  // `problem` stays empty when the group is there.
  RealGroup(const std::string& hierarchy, const std::string& file, const std::string& limit)
      : path_(hierarchy + "/nibble-test-" + std::to_string(getpid())) {
    if (mkdir(path_.c_str(), 0755) != 0) {
      problem = path_ + ": " + std::strerror(errno);
      return;
    }
    made_ = true;
    const std::string name = path_ + "/" + file;
    if (access(name.c_str(), F_OK) != 0) {
      problem = "no " + file + " in " + hierarchy;
    } else if (!write(name, limit)) {
      problem = name + " cannot be written";
    }
  }
  RealGroup(const RealGroup&) = delete;
  RealGroup& operator=(const RealGroup&) = delete;
  ~RealGroup() {
    if (made_) rmdir(path_.c_str());
  }
  bool enter() const { return write(path_ + "/cgroup.procs", std::to_string(getpid())); }

  std::string problem;

 private:
  static bool write(const std::string& name, const std::string& text) {
    std::ofstream file(name);
    file << text << std::flush;
    return file.good();
  }
  std::string path_;
  bool made_ = false;
};

}  // namespace nibble::test
