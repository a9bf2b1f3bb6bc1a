#include "tools/nibble/usage_error.h"

#include <sys/stat.h>
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "tools/nibble/command.h"
#include "tools/nibble/help.h"
#include "tools/nibble/suggestion.h"

namespace nibble::cli {
namespace {

bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-';
}

std::string unknown_option(const CLI::App& command, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string name = word.substr(0, word.find('='));
  return "unknown option '" + name + "'" + did_you_mean(name, known);
}

std::string unknown_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  // Of two that are as near the one that is met first: 'rn' is rather run than rm.
  for (const CLI::App* command : ordered_commands(app)) known.push_back(command->get_name());
  struct stat info;
  if (word.ends_with(".gguf") || word.find(' ') != std::string::npos ||
      stat(word.c_str(), &info) == 0) {
    return "'" + word + "' is not a command; did you mean: nibble run '" + word + "'?";
  }
  return "unknown command '" + word + "'" + did_you_mean(word, known);
}

// The first thing on the command line that nobody took.
std::string describe_extra(const CLI::App& app, const CLI::App* command,
                           const std::vector<std::string>& extras) {
  for (const std::string& word : extras) {
    if (is_option(word)) {
      if (command == nullptr && &word != &extras.front()) continue;
      return unknown_option(command == nullptr ? app : *command, word);
    }
    if (command == nullptr) return unknown_command(app, word);
  }
  return "unexpected argument '" + extras.front() + "'";
}

// " (from NIBBLE_TEMP)" when the option that the message names was not given as a flag.
std::string origin(const CLI::App* command, const std::string& message,
                   const Configuration& configuration) {
  if (command == nullptr) return {};
  for (const CLI::Option* option : command->get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    const std::string source = configuration.source(name);
    const size_t at = message.find("--" + name + ":");
    if (!source.empty() && at != std::string::npos) return " (from " + source + ")";
  }
  return {};
}

}  // namespace

int report_parse_error(const CLI::App& app, const CLI::ParseError& error,
                       const Configuration& configuration) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  const auto chosen = app.get_subcommands();
  const CLI::App* command = chosen.empty() ? nullptr : chosen.front();
  const std::string name = command == nullptr ? "nibble" : "nibble " + command->get_name();
  if (dynamic_cast<const CLI::FileError*>(&error) != nullptr) {
    return fail({ErrorCode::kNoInput, error.what()});
  }
  std::string message = error.what();
  const std::vector<std::string> extras = app.remaining(true);
  const std::vector<std::string> before = app.remaining(false);
  const bool about_extras = command == nullptr || dynamic_cast<const CLI::ExtrasError*>(&error);
  const bool about_file = dynamic_cast<const CLI::ConfigError*>(&error) != nullptr;
  if (about_extras && !about_file) {
    if (extras.empty()) {
      std::fputs(app.help().c_str(), stderr);
      return static_cast<int>(ErrorCode::kUsage);
    }
    message =
        command != nullptr && !before.empty() && is_option(before.front())
            ? "'" + before.front() + "' goes after the command: " + name + " " + before.front()
            : describe_extra(app, command, extras);
  }
  message += origin(command, message, configuration);
  return fail({ErrorCode::kUsage, message + (about_file ? "" : " (see " + name + " --help)")});
}

}  // namespace nibble::cli
