// What the sub-commands share. Each tools/nibble/cmd_<name>.cpp defines one function,
// void add_<name>(CLI::App& app, int* exit_code), which adds its sub-command; CMake generates the
// list of them, so adding a command is adding a file. Every long option of a command is then also
// read from NIBBLE_<OPTION> and from the configuration file (configuration.h); an option that makes
// no sense there says configurable(false). Read next: main.cpp, options.h, cmd_run.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/result.h"

// A file that includes CLI11 takes 5 s longer to compile: those do that call it.
namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace nibble::cli {

// Prints "nibble: message" to stderr and gives the error's exit code.
int fail(const Error& error);

// 1003541152 -> "957.0 MiB"; the unit is the largest in which the number is at least 1.
std::string human_bytes(uint64_t bytes);

}  // namespace nibble::cli
