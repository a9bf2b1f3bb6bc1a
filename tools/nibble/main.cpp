// The program: finds the sub-command and runs it. Exit codes are those of nibble/result.h.
#include <cstdio>

#include "nibble/nibble.h"
#include "tools/nibble/command.h"

namespace nibble::cli {

#define NIBBLE_COMMAND(name) void add_##name(CLI::App& app, int* exit_code);
#include "commands.inc"
#undef NIBBLE_COMMAND

int fail(const Error& error) {
  std::fprintf(stderr, "nibble: %s\n", error.message.c_str());
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

}  // namespace nibble::cli

int main(int argc, char** argv) {
  CLI::App app{"nibble runs small language models on CPUs"};
  app.require_subcommand(1);
  int exit_code = 0;
#define NIBBLE_COMMAND(name) nibble::cli::add_##name(app, &exit_code);
#include "commands.inc"
#undef NIBBLE_COMMAND
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(nibble::ErrorCode::kUsage);
  }
  return exit_code;
}
