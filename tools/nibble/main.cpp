// The program. Exit codes are those of nibble/result.h; a reader of our output that went away ends
// it quietly with 141, as SIGPIPE would. Read next: program.cpp,
// allocation.cpp.
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/output.h"
#include "tools/nibble/program.h"

int main(int argc, char** argv) {
  using nibble::ErrorCode;
  nibble::cli::protect_standard_streams();
  std::set_new_handler([] { throw std::bad_alloc(); });  // read by a static mimalloc
  int exit_code = 0;
  try {
    exit_code = nibble::cli::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("nibble: out of memory; try a smaller context (-c)\n", stderr);  // allocates nothing
    exit_code = static_cast<int>(ErrorCode::kOs);
  } catch (const std::exception& error) {
    exit_code = nibble::cli::fail({ErrorCode::kInternal, std::string("bug: ") + error.what()});
  }
  return nibble::cli::finish_output(exit_code);
}
