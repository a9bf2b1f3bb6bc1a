// Heat and power as Linux shows them: the governor of the clock, the temperature, and whether the
// machine slows itself down, which on a small board explains more of a figure than any kernel does.
//
// All of it is optional: what a system does not tell is absent, never a failure. Read next:
// topology.h, tools/docs/raspberry-pi-5.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct Thermals {
  std::string governor;  // "ondemand", "performance, powersave" where CPUs differ; empty: unknown
  std::optional<double> mhz;      // the fastest CPU's clock now
  std::optional<double> mhz_max;  // and at most
  std::optional<double> celsius;  // of the hottest sensor of the processor, else of any
  // What a Raspberry Pi's firmware says (bits as `vcgencmd get_throttled` prints them).
  std::optional<uint32_t> firmware_flags;
  bool cooled = false;  // the kernel holds the clock down to cool the processor

  // Slowed down at this moment, by heat or by too weak a power supply.
  bool throttled() const;
  // "under-voltage, clock capped (earlier: throttled)"; empty when nothing is or was wrong.
  std::string throttle_text() const;
};

// A few small files of /sys. `sys_root` is for tests: a directory in place of "/".
Thermals read_thermals(const std::string& sys_root = "");

// Whether what was measured between the two was slowed down: at either end, or in between as far as
// a Raspberry Pi remembers it.
bool throttled_between(const Thermals& before, const Thermals& after);

}  // namespace nibble
