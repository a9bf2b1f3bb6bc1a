// Finds the sub-command and runs it. Read next: command.h, cmd_run.cpp.
#include "tools/nibble/program.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "nibble/nibble.h"
#include "tools/nibble/command.h"
#include "tools/nibble/configuration.h"
#include "tools/nibble/help.h"
#include "tools/nibble/output.h"
#include "tools/nibble/usage_error.h"

namespace nibble::cli {

#define NIBBLE_COMMAND(name) void add_##name(CLI::App& app, int* exit_code);
#include "commands.inc"
#undef NIBBLE_COMMAND

int fail(const Error& error) {
  std::fprintf(stderr, "nibble: %s\n", printable(error.message).c_str());
  return static_cast<int>(error.code);
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

namespace {

constexpr const char* kExamples =
    R"(Example: nibble run gemma-3-1b-it-q4_0.gguf "Why is the sky blue?"

nibble COMMAND --help explains a command. Its long options are also read from
the environment (--top-k: NIBBLE_TOP_K) and from ~/.config/nibble/config.toml.)";

// `read_only`: no command runs.
int parse(int argc, char** argv, bool read_only) {
  CLI::App app{"nibble runs small language models on CPUs.", "nibble"};
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "Print this help, or that of a command");
  app.set_version_flag("--version", "nibble " + std::string(version()), "Print the version");
  app.footer(kExamples);
  int exit_code = 0;
#define NIBBLE_COMMAND(name) add_##name(app, &exit_code);
#include "commands.inc"
#undef NIBBLE_COMMAND
  if (read_only) {  // comes before the command's own callback
    app.parse_complete_callback([] { throw CLI::Success(); });
  }
  const auto configuration = std::make_shared<Configuration>(&app);
  try {
    configuration->install();
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error, *configuration);
  }
  return exit_code;
}

}  // namespace

int run_program(int argc, char** argv) {
  return parse(argc, argv, false);
}

int read_arguments(int argc, char** argv) {
  return parse(argc, argv, true);
}

}  // namespace nibble::cli
