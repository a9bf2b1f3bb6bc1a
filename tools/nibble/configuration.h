// Options from the environment and from the configuration file, for every command alike: the long
// option --top-k is also NIBBLE_TOP_K and the key `top-k`, in the file's section of the command
// ([run]) or, for all commands that have it, above the sections. Flag > environment > section >
// top of the file > default. The file is $NIBBLE_CONFIG, else nibble/config.toml in
// $XDG_CONFIG_HOME or ~/.config; unknown keys are errors.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nibble::cli {

// CLI11 asks this class for the file's settings once the command line is read; it answers with the
// environment's merged in.
class Configuration : public CLI::ConfigTOML, public std::enable_shared_from_this<Configuration> {
 public:
  // `app` has all its commands already and outlives this.
  explicit Configuration(CLI::App* app) : app_(app) {}

  // Adds --config and makes `app` use this. Throws CLI::FileError if NIBBLE_CONFIG names no file.
  void install();

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

  // Where the chosen command's long option got its value if not from the command line:
  // "NIBBLE_TOP_K" or "FILE:LINE"; empty otherwise.
  std::string source(const std::string& option) const;

 private:
  CLI::App* app_;
  std::string path_;
  mutable std::map<std::string, std::string> sources_;  // from_config() is const in CLI11
};

}  // namespace nibble::cli
