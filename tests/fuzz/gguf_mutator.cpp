// Changes GGUF files as files: takes one apart into its counts, keys and tensors, changes a few of
// those, and puts it together again, so that what comes behind the change is still reached.
#include <cstring>
#include <optional>

#include "tests/file/gguf_bytes.h"
#include "tests/fuzz/all.h"

namespace nibble::fuzz {
namespace {

using gguf_test::number;
using gguf_test::text;

struct Key {
  std::string name;
  uint32_t type = 0;
  std::string value;  // as in the file
};

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  uint64_t offset = 0;
};

struct Parts {
  uint32_t version = 3;
  uint64_t tensors_said = 0, keys_said = 0;
  std::vector<Key> keys;
  std::vector<Tensor> tensors;
  std::string data;
};

template <typename T>
T take(Feed* feed) {
  T value{};
  const std::string_view bytes = feed->take(sizeof(T));
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

size_t scalar_bytes(uint32_t type) {
  constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

// The bytes of a value, or nothing where it cannot be followed.
std::optional<std::string> take_value(Feed* feed, uint32_t type) {
  const std::string_view before = feed->rest();
  const auto skip_text = [feed] {
    const auto length = take<uint64_t>(feed);
    if (length > feed->rest().size()) return false;
    feed->take(length);
    return true;
  };
  if (type == 8) {
    if (!skip_text()) return {};
  } else if (type == 9) {
    const auto item = take<uint32_t>(feed);
    const auto count = take<uint64_t>(feed);
    if (count > feed->rest().size()) return {};
    for (uint64_t i = 0; i < count; ++i) {
      if (item == 8 ? !skip_text() : feed->take(scalar_bytes(item)).size() != scalar_bytes(item)) {
        return {};
      }
    }
  } else if (feed->take(scalar_bytes(type)).size() != scalar_bytes(type) ||
             scalar_bytes(type) == 0) {
    return {};
  }
  return std::string(before.substr(0, before.size() - feed->rest().size()));
}

std::optional<Parts> take_apart(std::string_view bytes) {
  Feed feed(bytes);
  if (feed.take(4) != "GGUF") return {};
  Parts parts;
  parts.version = take<uint32_t>(&feed);
  parts.tensors_said = take<uint64_t>(&feed);
  parts.keys_said = take<uint64_t>(&feed);
  if (parts.keys_said > 4096 || parts.tensors_said > 4096) return {};
  const auto take_text = [&feed] { return std::string(feed.take(take<uint64_t>(&feed))); };
  for (uint64_t i = 0; i < parts.keys_said && !feed.empty(); ++i) {
    Key key{take_text(), take<uint32_t>(&feed), {}};
    auto value = take_value(&feed, key.type);
    if (!value) return {};
    key.value = *std::move(value);
    parts.keys.push_back(std::move(key));
  }
  for (uint64_t i = 0; i < parts.tensors_said && !feed.empty(); ++i) {
    Tensor tensor{take_text(), {}, 0, 0};
    const auto count = take<uint32_t>(&feed);
    for (uint32_t d = 0; d < count && d < 8; ++d) tensor.dims.push_back(take<uint64_t>(&feed));
    tensor.type = take<uint32_t>(&feed);
    tensor.offset = take<uint64_t>(&feed);
    parts.tensors.push_back(std::move(tensor));
  }
  const size_t used = bytes.size() - feed.rest().size();
  feed.take((32 - used % 32) % 32);
  parts.data = feed.rest();
  return parts;
}

std::string put_together(const Parts& parts) {
  std::string bytes = gguf_test::header(parts.version, parts.tensors_said, parts.keys_said);
  for (const Key& key : parts.keys) bytes += gguf_test::entry(key.name, key.type, key.value);
  for (const Tensor& t : parts.tensors) {
    bytes += gguf_test::tensor(t.name, t.dims, t.type, t.offset);
  }
  bytes.resize((bytes.size() + 31) / 32 * 32);
  return bytes + parts.data;
}

// Numbers at which sums, products and casts go wrong, and neighbours of the one that is there.
uint64_t odd_number(uint64_t now, Random& random) {
  constexpr uint64_t kOdd[] = {0,
                               1,
                               2,
                               3,
                               4,
                               7,
                               8,
                               16,
                               31,
                               32,
                               33,
                               63,
                               64,
                               127,
                               128,
                               255,
                               256,
                               1024,
                               65535,
                               65536,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               0x100000000,
                               uint64_t{1} << 60,
                               uint64_t{1} << 62,
                               uint64_t{1} << 63,
                               UINT64_MAX / 2,
                               UINT64_MAX - 31,
                               UINT64_MAX - 1,
                               UINT64_MAX};
  switch (random.below(5)) {
    case 0:
      return now + 1;
    case 1:
      return now - 1;
    case 2:
      return now * 2;
    case 3:
      return now / 2;
    default:
      return kOdd[random.below(std::size(kOdd))];
  }
}

void change_bytes(std::string* bytes, Random& random) {
  if (bytes->empty() || random.below(8) == 0) {
    bytes->insert(random.below(bytes->size() + 1), 1 + random.below(3),
                  static_cast<char>(random.next()));
  } else if (random.below(8) == 0) {
    bytes->erase(random.below(bytes->size()), 1 + random.below(4));
  } else {
    (*bytes)[random.below(bytes->size())] = static_cast<char>(random.next());
  }
}

void change_number(std::string* value, Random& random) {
  uint64_t now = 0;
  std::memcpy(&now, value->data(), std::min(value->size(), sizeof(now)));
  now = odd_number(now, random);
  std::memcpy(value->data(), &now, std::min(value->size(), sizeof(now)));
}

// Floats that are none, or as large and as small as can be.
void change_float(std::string* value, Random& random) {
  constexpr uint32_t kBits[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x00000001,
                                0x80000000, 0x7f7fffff, 0xbf800000, 0x00000000};
  const uint32_t bits = kBits[random.below(std::size(kBits))];
  std::memcpy(value->data(), &bits, std::min(value->size(), sizeof(bits)));
}

void change_value(Key* key, Random& random) {
  if (key->type == 6 && random.below(2) == 0) return change_float(&key->value, random);
  if (key->value.empty()) return;
  if (key->type == 8 || key->type == 9) {
    const size_t lengths_at = key->type == 8 ? 0 : 4;
    if (random.below(4) == 0 && key->value.size() >= lengths_at + 8) {
      std::string length = key->value.substr(lengths_at, 8);
      change_number(&length, random);
      key->value.replace(lengths_at, 8, length);
    } else if (key->type == 8 && key->value.size() >= 8) {  // another text, its length right
      std::string inside = key->value.substr(8);
      change_bytes(&inside, random);
      key->value = text(inside);
    } else {
      key->value[random.below(key->value.size())] = static_cast<char>(random.next());
    }
    return;
  }
  change_number(&key->value, random);
}

void change_key(Parts* parts, Random& random) {
  if (parts->keys.empty()) return;
  const size_t at = random.below(parts->keys.size());
  Key& key = parts->keys[at];
  switch (random.below(8)) {
    case 0:
      change_bytes(&key.name, random);
      break;
    case 1:
      key.type = static_cast<uint32_t>(random.below(14));
      break;
    case 2:
      parts->keys.erase(parts->keys.begin() + static_cast<std::ptrdiff_t>(at));
      parts->keys_said = parts->keys.size();
      break;
    case 3:
      parts->keys.push_back(key);
      if (random.below(2) == 0) change_bytes(&parts->keys.back().name, random);
      parts->keys_said = parts->keys.size();
      break;
    default:
      change_value(&key, random);
  }
}

void change_tensor(Parts* parts, Random& random) {
  if (parts->tensors.empty()) return;
  const size_t at = random.below(parts->tensors.size());
  Tensor& tensor = parts->tensors[at];
  switch (random.below(8)) {
    case 0:
      change_bytes(&tensor.name, random);
      break;
    case 1:
      tensor.type = static_cast<uint32_t>(random.below(42));
      break;
    case 2:
    case 3:
      if (!tensor.dims.empty()) {
        uint64_t& dim = tensor.dims[random.below(tensor.dims.size())];
        dim = odd_number(dim, random);
      }
      break;
    case 4:
      tensor.dims.resize(random.below(6), 1);
      break;
    case 5:
      tensor.offset = random.below(2) == 0 ? odd_number(tensor.offset, random)
                                           : random.below(parts->data.size() + 64) / 32 * 32;
      break;
    case 6:
      parts->tensors.erase(parts->tensors.begin() + static_cast<std::ptrdiff_t>(at));
      parts->tensors_said = parts->tensors.size();
      break;
    default:
      std::swap(tensor, parts->tensors[random.below(parts->tensors.size())]);
  }
}

void change_part(Parts* parts, Random& random) {
  switch (random.below(10)) {
    case 0:
      parts->tensors_said = odd_number(parts->tensors_said, random);
      break;
    case 1:
      parts->keys_said = odd_number(parts->keys_said, random);
      break;
    case 2:
      if (parts->data.size() >= 4) {
        std::string word(4, '\0');
        change_float(&word, random);
        parts->data.replace(random.below(parts->data.size() / 4) * 4, 4, word);
      }
      break;
    case 3:
      if (random.below(4) == 0) parts->data.resize(random.below(parts->data.size() + 1));
      if (random.below(8) == 0) parts->version = static_cast<uint32_t>(random.below(5));
      break;
    case 4:
    case 5:
    case 6:
      change_key(parts, random);
      break;
    default:
      change_tensor(parts, random);
  }
}

}  // namespace

std::string mutate_gguf(std::string_view input, Random& random) {
  auto parts = take_apart(input);
  if (!parts) return {};
  for (size_t changes = 1 + random.below(3); changes > 0; --changes) change_part(&*parts, random);
  return put_together(*parts);
}

}  // namespace nibble::fuzz
