// Says what a file is that is not GGUF: other model formats and the pages that failed downloads
// leave behind. Read next: gguf_part.cpp.
#include <algorithm>
#include <string_view>

#include "runtime/file/concat.h"
#include "runtime/file/gguf_part.h"

namespace nibble {
namespace {

struct Magic {
  std::string_view start;
  std::string_view meaning;
};

constexpr std::string_view kOldGgml =
    "is a GGML file of 2023, a format that is no longer in use; download a GGUF file of this model";
constexpr std::string_view kWebPage =
    "is a web page, not a model; the download went wrong: check the address (and whether the model "
    "needs a login) and download it again";

constexpr Magic kMagics[] = {
    {"lmgg", kOldGgml},
    {"ggml", kOldGgml},
    {"fmgg", kOldGgml},
    {"ggmf", kOldGgml},
    {"tjgg", kOldGgml},
    {"ggjt", kOldGgml},
    {"GGML", kOldGgml},
    {"FUGG", "is a big-endian GGUF file; download the little-endian (usual) one"},
    {"PK\x03\x04",
     "is a ZIP archive (PyTorch weights, or a model still packed); download a GGUF file of this "
     "model, or unpack it"},
    {"\x1f\x8b", "is gzip-compressed; unpack it first"},
    {"version https://git-lfs",
     "is a Git LFS pointer, not the model itself; fetch it with `git lfs pull` or download the "
     "file from its page"},
    {"<!", kWebPage},
    {"<h", kWebPage},
    {"<H", kWebPage},
    {"<?", kWebPage},
    {"{",
     "is JSON, not a model (a configuration, or a server's error message); download the GGUF "
     "file of this model"},
};

}  // namespace

std::string explain_magic(const uint8_t* data, uint64_t size) {
  const std::string_view start(reinterpret_cast<const char*>(data), std::min<uint64_t>(size, 64));
  for (const Magic& magic : kMagics) {
    if (start.starts_with(magic.start)) return std::string(magic.meaning);
  }
  if (start.size() > 8 && start[8] == '{') {  // a 64-bit length, then JSON
    return "is a safetensors file; download a GGUF file of this model, or convert it";
  }
  return concat("is not a GGUF file: it starts with ", quoted(start.substr(0, 4)),
                " instead of 'GGUF'; download a GGUF file of the model");
}

}  // namespace nibble
