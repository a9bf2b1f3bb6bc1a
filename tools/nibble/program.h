// The program without its main(), for those who call a part of it. Read next: command.h, main.cpp.
#pragma once

namespace nibble::cli {

// Reads the arguments and runs the command; the exit code.
int run_program(int argc, char** argv);

// Reads the arguments alone: 0, or the exit code for what is wrong with them, which stderr tells.
int read_arguments(int argc, char** argv);

}  // namespace nibble::cli
