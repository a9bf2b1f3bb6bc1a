// Runs the program of the build tree, as a script would.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace nibble::tools_test {

struct Output {
  int exit_code = -1;
  std::string out;
  std::string err;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

// A folder that is removed with everything in it.
class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() / "nibble_tools_XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// `arguments` as a shell takes them.
inline Output run_nibble(const std::string& arguments) {
  const Folder folder;
  std::string command = NIBBLE_BINARY_DIR "/nibble " + arguments;
  command += " >" + folder.path("out") + " 2>" + folder.path("err") + " </dev/null";
  const int status = std::system(command.c_str());
  Output output;
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  output.out = read_file(folder.path("out"));
  output.err = read_file(folder.path("err"));
  return output;
}

}  // namespace nibble::tools_test
