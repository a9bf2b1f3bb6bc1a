// Reads of a mapped file whose pages are gone: it was cut short, or its disk or server failed.
//
// The system ends a process with SIGBUS at such a read. In a watched mapping the page becomes zeros
// instead and its offset is kept, so the reader goes on, asks lost_page() when it is done, and
// gives an error. A fault anywhere else goes to the handler that was there before. Read next:
// memory.h.
#pragma once

#include <cstdint>
#include <optional>

namespace nibble {

// Watches [data, data + bytes) of a private mapping until unwatch_pages(), which comes before it is
// unmapped; the handler is installed with the first. Any thread. Returns the number of the watch,
// or -1 when kMostWatched mappings are watched already: reads of that one end the process as
// before.
constexpr int kMostWatched = 1024;
int watch_pages(const uint8_t* data, uint64_t bytes);
void unwatch_pages(int watch);

// The offset of the first page that was found lost; nothing when all reads were good. Any thread.
std::optional<uint64_t> lost_page(int watch);

}  // namespace nibble
