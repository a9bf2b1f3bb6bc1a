// Whether a model decodes faster spread over several memory nodes: the model of docs/numa.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nibble {

// What one node's memory gives to its cores: eight channels of DDR4, or half of what eight of DDR5
// give. The choice changes for models of some tens of MB alone, whatever stands here.
inline constexpr double kNodeBytesPerSecond = 150e9;
// What a parallel region costs more when its workers are on several nodes: epoch, job, input and
// countdown cross the link between them, each at 0.1 to 0.2 us a line.
inline constexpr double kLinkSecondsPerRegion = 3e-6;
// Regions of a layer that decodes one token: norms and attention's small work are the caller's.
inline constexpr double kRegionsPerLayer = 5;

// Seconds of a decoded token that reads `bytes` of weights in `layers` layers on `nodes` nodes.
constexpr double seconds_per_token(uint64_t bytes, size_t layers, size_t nodes) {
  const double reading =
      static_cast<double>(bytes) / (kNodeBytesPerSecond * static_cast<double>(nodes));
  const double regions = kRegionsPerLayer * static_cast<double>(layers) + 2;
  return reading + (nodes > 1 ? regions * kLinkSecondsPerRegion : 0);
}

constexpr bool is_faster_spread(uint64_t bytes, size_t layers, size_t nodes) {
  return seconds_per_token(bytes, layers, nodes) < seconds_per_token(bytes, layers, 1);
}

}  // namespace nibble
