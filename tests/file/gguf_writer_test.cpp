// What the writer writes the reader reads, of every type; and a file appears whole or not at all.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <thread>

#include "runtime/file/gguf.h"
#include "runtime/file/gguf_writer.h"
#include "tests/file/gguf_bytes.h"

namespace nibble::gguf_test {
namespace {

GgufValue value_of(GgufType type, decltype(GgufValue::data) data) {
  return {type, std::move(data)};
}

GgufValue array_of(GgufType type, std::vector<uint64_t> uints, std::vector<int64_t> ints = {},
                   std::vector<double> floats = {}, std::vector<std::string> strings = {}) {
  return {GgufType::kArray, GgufArray{type, std::move(uints), std::move(ints), std::move(floats),
                                      std::move(strings)}};
}

template <typename T>
GgufValue most(GgufType type) {
  using Wide = std::conditional_t<std::is_floating_point_v<T>, double,
                                  std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;
  return value_of(type, static_cast<Wide>(std::numeric_limits<T>::lowest()));
}

std::vector<std::pair<std::string, GgufValue>> every_kind() {
  using T = GgufType;
  return {
      {"u8", value_of(T::kUint8, uint64_t{255})},
      {"i8", most<int8_t>(T::kInt8)},
      {"u16", value_of(T::kUint16, uint64_t{65535})},
      {"i16", most<int16_t>(T::kInt16)},
      {"u32", value_of(T::kUint32, uint64_t{UINT32_MAX})},
      {"i32", most<int32_t>(T::kInt32)},
      {"f32", most<float>(T::kFloat32)},
      {"yes", value_of(T::kBool, true)},
      {"no", value_of(T::kBool, false)},
      {"text", value_of(T::kString, std::string("h\xc3\xa4\0\xff", 5))},
      {"empty", value_of(T::kString, std::string())},
      {"u64", value_of(T::kUint64, uint64_t{UINT64_MAX})},
      {"i64", most<int64_t>(T::kInt64)},
      {"f64", most<double>(T::kFloat64)},
      {"a_u8", array_of(T::kUint8, {0, 255})},
      {"a_u16", array_of(T::kUint16, {65535})},
      {"a_u32", array_of(T::kUint32, {UINT32_MAX, 1, 2})},
      {"a_u64", array_of(T::kUint64, {UINT64_MAX})},
      {"a_bool", array_of(T::kBool, {1, 0, 1})},
      {"a_i8", array_of(T::kInt8, {}, {-128, 127})},
      {"a_i16", array_of(T::kInt16, {}, {-32768})},
      {"a_i32", array_of(T::kInt32, {}, {INT32_MIN, INT32_MAX})},
      {"a_i64", array_of(T::kInt64, {}, {INT64_MIN})},
      {"a_f32", array_of(T::kFloat32, {}, {}, {0.1f, -INFINITY})},
      {"a_f64", array_of(T::kFloat64, {}, {}, {0.1})},
      {"a_text", array_of(T::kString, {}, {}, {}, {"", "a", std::string(1 << 16, 'b')})},
      {"a_none", array_of(T::kString, {})},
  };
}

bool equal(const GgufArray& a, const GgufArray& b) {
  return a.type == b.type && a.uints == b.uints && a.ints == b.ints && a.floats == b.floats &&
         a.strings == b.strings;
}

bool equal(const GgufValue& a, const GgufValue& b) {
  const auto same = [&](const auto& data) {
    using Data = std::decay_t<decltype(data)>;
    if constexpr (std::is_same_v<Data, GgufArray>) {
      return equal(data, std::get<GgufArray>(b.data));
    } else {
      return data == std::get<Data>(b.data);
    }
  };
  return a.type == b.type && a.data.index() == b.data.index() && std::visit(same, a.data);
}

TEST(GgufWriter, EveryKindOfValueComesBack) {
  const TemporaryFolder folder;
  const std::string path = folder.path("a.gguf");
  const auto kinds = every_kind();
  GgufWriter writer;
  for (const auto& [key, value] : kinds) writer.add(key, value);
  ASSERT_TRUE(writer.create(path).ok());
  ASSERT_TRUE(writer.commit().ok());

  const auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ASSERT_EQ(opened->metadata().size(), kinds.size());
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto& [key, value] = kinds[i];
    EXPECT_EQ(opened->metadata()[i].first, key);
    EXPECT_TRUE(equal(opened->metadata()[i].second, value)) << key;
  }
}

TEST(GgufWriter, ShortForms) {
  const TemporaryFolder folder;
  const std::string path = folder.path("a.gguf");
  GgufWriter writer;
  writer.add_uint32("u", 7);
  writer.add_float32("f", 0.5f);
  writer.add_bool("b", true);
  writer.add_string("s", "text");
  writer.add_int32s("i", std::vector<int32_t>{-1, 2});
  writer.add_float32s("fs", std::vector<float>{0.5f, -0.25f});
  writer.add_strings("ss", std::vector<std::string>{"x", ""});
  ASSERT_TRUE(writer.create(path).ok());
  ASSERT_TRUE(writer.commit().ok());
  const auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(*opened->get_uint("u"), 7u);
  EXPECT_EQ(*opened->get_float("f"), 0.5);
  EXPECT_EQ(*opened->get_bool("b"), true);
  EXPECT_EQ(*opened->get_string("s"), "text");
  EXPECT_EQ((*opened->get_array("i"))->ints, (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ((*opened->get_array("fs"))->floats, (std::vector<double>{0.5, -0.25}));
  EXPECT_EQ((*opened->get_array("ss"))->strings, (std::vector<std::string>{"x", ""}));
}

class Alignments : public testing::TestWithParam<uint32_t> {};

TEST_P(Alignments, TensorsComeBack) {
  const TemporaryFolder folder;
  const std::string path = folder.path("a.gguf");
  GgufWriter writer(GetParam());
  // Every type id of the specification that can be stored, with an odd number of rows.
  struct Item {
    size_t index;
    std::string name;
    uint32_t type;
    std::vector<uint64_t> dims;
  };
  std::vector<Item> items;
  for (uint32_t type = 0; type < 64; ++type) {
    const GgufTypeInfo info = gguf_type_info(type);
    if (info.name.empty() || info.removed) continue;
    const std::vector<uint64_t> dims = {info.block, 3, 1, type % 2 + 1};
    const std::string name = std::string(info.name);
    items.push_back({writer.add_tensor(name, type, dims), name, type, dims});
  }
  ASSERT_GT(items.size(), 30u);
  ASSERT_TRUE(writer.create(path).ok());
  // Written backwards and in two parts.
  for (size_t i = items.size(); i-- > 0;) {
    const std::vector<uint8_t> data(writer.tensor_bytes(items[i].index), static_cast<uint8_t>(i));
    ASSERT_TRUE(writer.write(items[i].index, 1, data.data(), data.size() - 1).ok());
    ASSERT_TRUE(writer.write(items[i].index, 0, data.data(), 1).ok());
  }
  ASSERT_TRUE(writer.commit().ok());

  const auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->alignment(), GetParam());
  ASSERT_EQ(opened->tensors().size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const GgufTensor& tensor = opened->tensors()[i];
    EXPECT_EQ(tensor.name, items[i].name);
    EXPECT_EQ(tensor.type_id, items[i].type);
    EXPECT_EQ(tensor.dims, items[i].dims);
    EXPECT_EQ(tensor.bytes, writer.tensor_bytes(items[i].index));
    EXPECT_EQ(tensor.offset % GetParam(), 0u);
    for (uint64_t j = 0; j < tensor.bytes; ++j) ASSERT_EQ(tensor.data[j], static_cast<uint8_t>(i));
  }
}

INSTANTIATE_TEST_SUITE_P(GgufWriter, Alignments, testing::Values(8, 32, 64, 16384, 1 << 20));

TEST(GgufWriter, TypedAccess) {
  const TemporaryFolder folder;
  const auto opened = GgufFile::open(
      folder.write("a", file({entry("u", 4, number<uint32_t>(7)), entry("i", 5, number<int32_t>(9)),
                              entry("neg", 5, number<int32_t>(-1)), entry("f", 6, number(0.5f)),
                              entry("b", 7, number<uint8_t>(1)), entry("s", 8, text("t")),
                              entry("a", 9, array(0, 1, "x"))},
                             {}, 0)));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(*opened->get_uint("u"), 7u);
  EXPECT_EQ(*opened->get_uint("i"), 9u);
  EXPECT_EQ(*opened->get_uint("none", 5), 5u);
  EXPECT_EQ(*opened->get_float("none", 2.5), 2.5);
  EXPECT_EQ(*opened->get_bool("none", true), true);
  EXPECT_EQ(*opened->get_string("none", "x"), "x");
  EXPECT_EQ(*opened->get_array("none"), nullptr);
  EXPECT_EQ(opened->find("none"), nullptr);
  EXPECT_EQ((*opened->get_array("a"))->uints, (std::vector<uint64_t>{'x'}));

  const auto expect_error = [&](const auto& result, const std::string& part) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kData);
    EXPECT_TRUE(result.error().message.starts_with(opened->path()));
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  };
  expect_error(opened->get_uint("none"), "key 'none' is missing");
  expect_error(opened->get_uint("neg", 1),
               "key 'neg': has type int32 (-1), must be a whole number");
  expect_error(opened->get_uint("f", 1), "key 'f': has type float32");
  expect_error(opened->get_uint("b"), "key 'b': has type bool");
  expect_error(opened->get_float("u", 1.0), "key 'u': has type uint32");
  expect_error(opened->get_float("none"), "missing");
  expect_error(opened->get_bool("u", true), "must be a bool");
  expect_error(opened->get_bool("none"), "missing");
  expect_error(opened->get_string("a", "x"), "key 'a': has type array");
  expect_error(opened->get_string("none"), "missing");
  expect_error(opened->get_array("s"), "key 's': has type string");
}

TEST(GgufWriter, ThreadsWriteTogether) {
  const TemporaryFolder folder;
  GgufWriter writer;
  constexpr size_t kTensors = 8, kWords = 10000;
  for (size_t i = 0; i < kTensors; ++i) {
    writer.add_tensor(std::to_string(i), Format::kF32, {kWords});
  }
  ASSERT_TRUE(writer.create(folder.path("a.gguf")).ok());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kTensors; ++i) {
    threads.emplace_back([&writer, i] {
      const std::vector<uint8_t> data(kWords * 4, static_cast<uint8_t>(i + 1));
      for (size_t at = 0; at < data.size(); at += 1000) {
        EXPECT_TRUE(writer.write(i, at, data.data(), 1000).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(writer.commit().ok());
  const auto opened = GgufFile::open(folder.path("a.gguf"));
  ASSERT_TRUE(opened.ok());
  for (size_t i = 0; i < kTensors; ++i) {
    EXPECT_EQ(opened->tensors()[i].data[0], i + 1);
    EXPECT_EQ(opened->tensors()[i].data[kWords * 4 - 1], i + 1);
  }
}

TEST(GgufWriter, NothingAppearsBeforeCommit) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", "old");
  {
    GgufWriter writer;
    writer.add_tensor("t", Format::kF32, {8});
    ASSERT_TRUE(writer.create(path).ok());
    EXPECT_EQ(std::filesystem::file_size(path), 3u);
    EXPECT_EQ(folder.files(), 2u);
  }
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(GgufWriter, ReplacesAnOlderFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", "old");
  GgufWriter writer;
  writer.add_uint32("new", 1);
  ASSERT_TRUE(writer.create(path).ok());
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_TRUE(GgufFile::open(path).ok());
}

void expect_not_created(const std::string& path, ErrorCode code) {
  GgufWriter writer;
  const auto created = writer.create(path);
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error().code, code) << created.error().message;
  EXPECT_TRUE(created.error().message.starts_with(path)) << created.error().message;
}

TEST(GgufWriter, PlacesThatCannotBeWritten) {
  const TemporaryFolder folder;
  expect_not_created(folder.path("no/such/folder.gguf"), ErrorCode::kCannotCreate);
  expect_not_created(folder.path("."), ErrorCode::kCannotCreate);
  expect_not_created("/dev/full", ErrorCode::kCannotCreate);
  ASSERT_EQ(mkfifo(folder.path("fifo").c_str(), 0600), 0);
  expect_not_created(folder.path("fifo"), ErrorCode::kCannotCreate);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(GgufWriter, FolderWithoutPermission) {
  constexpr uid_t kNobody = 65534;
  const TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path(".").c_str(), 0555), 0);
  const bool root = geteuid() == 0;  // whom permissions do not bind
  if (root) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  expect_not_created(folder.path("a.gguf"), ErrorCode::kPermission);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  ASSERT_EQ(chmod(folder.path(".").c_str(), 0700), 0);
}

// A limit on file sizes stands for the full disk: the system refuses to go on in the same places.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    handler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int) = nullptr;
};

TEST(GgufWriter, FullDiskWhenReserving) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", "old");
  {
    GgufWriter writer;
    writer.add_tensor("t", Format::kF32, {1 << 20});
    const SmallDisk disk(1 << 16);
    const auto created = writer.create(path);
    ASSERT_FALSE(created.ok());
    EXPECT_EQ(created.error().code, ErrorCode::kIo);
    EXPECT_NE(created.error().message.find("free some space"), std::string::npos);
  }
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
}

TEST(GgufWriter, FullDiskWhenWriting) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", "old");
  {
    GgufWriter writer;
    const size_t t = writer.add_tensor("t", Format::kF32, {1 << 20});
    ASSERT_TRUE(writer.create(path).ok());
    const std::vector<uint8_t> data(1 << 22);
    const SmallDisk disk(1 << 16);
    const auto written = writer.write(t, 0, data.data(), data.size());
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.error().code, ErrorCode::kIo);
  }
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
}

TEST(GgufWriterDeathTest, CommitWithoutAllData) {
  const TemporaryFolder folder;
  GgufWriter writer;
  writer.add_tensor("t", Format::kF32, {8});
  ASSERT_TRUE(writer.create(folder.path("a.gguf")).ok());
  EXPECT_DEATH(static_cast<void>(writer.commit()), "internal error");
}

}  // namespace
}  // namespace nibble::gguf_test
