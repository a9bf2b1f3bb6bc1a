// Gives up what the program does not need any more, so that a fault in a reader or a template that
// got past every check still cannot open a file, reach the network or start a program.
//
// seccomp filters, for all threads and for good. Calls that are shut off fail with EPERM. Kernels
// and emulators without seccomp: nothing happens. Not in builds with sanitizers, which open files
// of their own. Read next: sandbox.cpp (the list of calls).
#pragma once

namespace nibble::cli {

enum class Sandbox {
  kReadOnly,  // files can be opened for reading alone; no network, no programs, nothing renamed
  kClosed,    // nor can files be opened
};

// True if the filter is in force. Can be called again for less.
bool enter_sandbox(Sandbox level);

}  // namespace nibble::cli
