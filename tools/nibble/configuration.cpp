#include "tools/nibble/configuration.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/nibble/help.h"
#include "tools/nibble/suggestion.h"
#include "tools/nibble/toml.h"

namespace nibble::cli {
namespace {

std::string environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

std::string default_path() {
  if (const std::string xdg = environment("XDG_CONFIG_HOME"); !xdg.empty()) {
    return xdg + "/nibble/config.toml";
  }
  const std::string home = environment("HOME");
  return home.empty() ? std::string() : home + "/.config/nibble/config.toml";
}

std::string environment_name(const std::string& option) {
  std::string name = "NIBBLE_";
  for (const char c : option) {
    name += static_cast<char>(c == '-' ? '_' : std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

// The long names of the options that can be configured.
std::vector<std::string> keys(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_configurable() && !option->get_lnames().empty()) {
      names.push_back(option->get_lnames().front());
    }
  }
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Throws for a section that is no command and for a key that its command, or for the top of the
// file every command, does not have.
void check_known(const CLI::App& app, const Setting& setting, const std::string& where) {
  std::vector<std::string> commands;
  std::vector<std::string> known;
  for (const CLI::App* command : ordered_commands(app)) {
    commands.push_back(command->get_name());
    if (!setting.section.empty() && setting.section != command->get_name()) continue;
    const auto more = keys(*command);
    known.insert(known.end(), more.begin(), more.end());
  }
  if (!setting.section.empty() && !contains(commands, setting.section)) {
    throw CLI::ConfigError(where + ": there is no command '" + setting.section + "'" +
                           did_you_mean(setting.section, commands));
  }
  if (!contains(known, setting.key)) {
    throw CLI::ConfigError(where + ": unknown key '" + setting.key + "'" +
                           did_you_mean(setting.key, known));
  }
}

}  // namespace

void Configuration::install() {
  const std::string named = environment("NIBBLE_CONFIG");
  path_ = named.empty() ? default_path() : named;
  std::error_code error;
  const bool is_file =
      std::filesystem::exists(path_, error) && !std::filesystem::is_directory(path_, error);
  if (!named.empty() && !is_file) {
    throw CLI::FileError("NIBBLE_CONFIG names " + named + ", which is not a file",
                         CLI::ExitCodes::FileError);
  }
  if (!is_file) path_ = "/dev/null";  // the environment's values are still asked for
  app_->set_config("--config", path_, "Configuration file")->type_name("FILE");
  app_->config_formatter(shared_from_this());
}

std::vector<CLI::ConfigItem> Configuration::from_config(std::istream& input) const {
  const CLI::Option* flag = app_->get_config_ptr();
  const std::string path = flag->count() > 0 ? flag->as<std::string>() : path_;
  const Result<std::vector<Setting>> settings = read_toml(input);
  if (!settings) throw CLI::ConfigError(path + ": " + settings.error().message);
  for (const Setting& setting : *settings) {
    check_known(*app_, setting, path + ":" + std::to_string(setting.line));
  }

  const auto chosen = app_->get_subcommands();
  if (chosen.empty()) return {};
  const std::string& command = chosen.front()->get_name();
  std::vector<CLI::ConfigItem> values;
  for (const std::string& key : keys(*chosen.front())) {
    CLI::ConfigItem item;
    item.parents = {command};
    item.name = key;
    for (const Setting& setting : *settings) {  // sections come after the top and win
      if (setting.key != key || (!setting.section.empty() && setting.section != command)) continue;
      item.inputs = setting.values;
      sources_[key] = path + ":" + std::to_string(setting.line);
    }
    const std::string variable = environment_name(key);
    if (const std::string value = environment(variable); !value.empty()) {
      item.inputs = {value};
      sources_[key] = variable;
    }
    if (!item.inputs.empty()) values.push_back(item);
  }
  return values;
}

std::string Configuration::source(const std::string& option) const {
  const auto found = sources_.find(option);
  return found == sources_.end() ? std::string() : found->second;
}

}  // namespace nibble::cli
