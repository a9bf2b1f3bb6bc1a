// pull_model() against a hub on this machine: what is right gets installed, and of everything that
// goes wrong nothing is, with a word that tells what to do.
#include <fstream>
#include <sstream>

#include "tests/cli/child.h"
#include "tests/hub/fake_hub.h"
#include "tools/nibble/hub/pull.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;
using hub::PullOptions;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

const std::string& model() {
  static const std::string bytes = read_file(kModel);
  return bytes;
}

std::string model_sum() {
  hub::Sha256 sum;
  sum.update(model().data(), model().size());
  return sum.finish();
}

bool is_file_of(const Ask& ask) {
  return ask.path.find("/resolve/") != std::string::npos;
}

constexpr const char* kName = "hf:a/b/m-Q4_0.gguf";

class HubPull : public testing::Test {
 protected:
  HubPull() {
    hub_.repositories["a/b"]["m-Q4_0.gguf"] = model();
    options_.places.store = home_.file("store");
    options_.endpoint = hub_.address();
    options_.retry_delay = std::chrono::milliseconds(1);
    options_.retries = 3;
    options_.piece_bytes = 512 << 10;
  }

  std::string place(const std::string& relative = "hf/a/b/m-Q4_0.gguf") const {
    return home_.file("store/models/" + relative);
  }

  void gets(const std::string& name = kName) {
    const auto pulled = pull_model(name, options_, {});
    ASSERT_TRUE(pulled) << pulled.error().message;
    EXPECT_EQ(read_file(pulled->model.path), model());
    for (const char* rest : {".part", ".part.json", ".lock"}) {
      EXPECT_FALSE(fs::exists(pulled->model.path + rest)) << rest;
    }
  }

  // The message; nothing may be installed.
  std::string fails(ErrorCode code, const std::string& name = kName) {
    const auto pulled = pull_model(name, options_, {});
    EXPECT_FALSE(pulled);
    if (pulled) return {};
    EXPECT_EQ(static_cast<int>(pulled.error().code), static_cast<int>(code))
        << pulled.error().message;
    std::error_code error;
    for (fs::recursive_directory_iterator at(home_.file("store"), error), end; !error && at != end;
         ++at) {
      EXPECT_FALSE(at->path().string().ends_with(".gguf")) << at->path();
    }
    return pulled.error().message;
  }

  // Every answer for a file from the `first` to the `last`.
  void fault(Fault how, int first = 1, int last = 1 << 20) {
    hub_.fault = [=](const Ask& ask) -> std::optional<Fault> {
      if (!is_file_of(ask) || ask.number < first || ask.number > last) return {};
      return how;
    };
  }

  void start_afresh() { fs::remove_all(home_.file("store")); }

  Folder home_;
  FakeHub hub_;
  PullOptions options_;
};

TEST_F(HubPull, GetsAFileWithARecordOfIt) {
  gets();
  const hub::Record record = hub::read_record(place());
  EXPECT_EQ(record.from, kName);
  EXPECT_EQ(record.commit, "c0ffee");
  EXPECT_EQ(record.bytes, model().size());
  EXPECT_EQ(record.sha256, model_sum());
  const size_t asked = hub_.asks().size();
  const auto again = pull_model("hf:a/b:Q4_0", options_, {});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_here);
  EXPECT_EQ(hub_.asks().size(), asked);
}

TEST_F(HubPull, SeveralConnectionsGiveTheSameFile) {
  options_.piece_bytes = 200'003;
  for (const int connections : {1, 2, 4}) {
    start_afresh();
    options_.connections = connections;
    fault({.chunk_ms = 5});
    gets();
  }
  EXPECT_GT(hub_.most_at_once(), 1);
}

TEST_F(HubPull, AServerWithoutPartsIsReadAsAWhole) {
  fault({.no_ranges = true});
  gets();
  start_afresh();
  fault({.content_length = "", .no_ranges = true});  // and without a length
  gets();
  start_afresh();
  fault({.cut_after = 100'000, .no_ranges = true}, 1, 2);
  gets();
}

TEST_F(HubPull, ACutIsContinuedWhereItWas) {
  options_.connections = 1;
  options_.piece_bytes = 8 << 20;
  fault({.cut_after = 1 << 20}, 1, 2);
  gets();
  const auto asks = hub_.asks("/resolve/");
  ASSERT_EQ(asks.size(), 3u);
  EXPECT_EQ(asks[1].header("range"), "bytes=1048576-" + std::to_string(model().size() - 1));
  EXPECT_NE(asks[1].header("if-range"), "");
}

TEST_F(HubPull, ALaterProcessContinues) {
  options_.connections = 1;
  options_.retries = 0;
  options_.piece_bytes = 8 << 20;
  fault({.cut_after = 1 << 20});
  const std::string message = fails(ErrorCode::kUnavailable);
  EXPECT_NE(message.find("continues"), std::string::npos) << message;
  EXPECT_EQ(fs::file_size(place() + ".part"), model().size());
  hub_.fault = nullptr;
  gets();
  EXPECT_TRUE(hub_.asks("/resolve/").back().header("range").starts_with("bytes=1048576-"));
}

TEST_F(HubPull, WhatAnEarlierProcessLeftIsNotTrusted) {
  options_.connections = 1;
  options_.retries = 0;
  fault({.cut_after = 100'000});
  fails(ErrorCode::kUnavailable);
  hub_.fault = nullptr;
  std::fstream part(place() + ".part", std::ios::binary | std::ios::in | std::ios::out);
  part.seekp(5000);
  part << "other bytes";
  part.close();
  gets();  // the sum is wrong, so it begins again
  for (const char* note : {"{}", "[", R"({"url":1})",
                           R"({"url":"","etag":"","sha256":"","bytes":4,"pieces":[[0,9,9]]})"}) {
    fs::remove(place());
    std::ofstream(place() + ".part") << "GGUF";
    std::ofstream(place() + ".part.json") << note;
    gets();
  }
}

TEST_F(HubPull, AWrongPartIsNotMixedIn) {
  fault({.content_range = "bytes 7-9/3008640"}, 2, 3);
  gets();
  start_afresh();
  for (const char* range : {"bytes 7-9/3008640", "bytes 0-9/5", "", "bytes -1-5/3008640",
                            "bytes 0-99999999999999999999/3008640", "bytes */3008640"}) {
    fault({.content_range = range});
    const std::string message = fails(ErrorCode::kUnavailable);
    EXPECT_NE(message.find("bytes from 0 on"), std::string::npos) << message;
  }
}

TEST_F(HubPull, AFileThatChangesBetweenIsBegunAgain) {
  options_.connections = 1;
  fault({.cut_after = 100'000, .etag = "\"old\""}, 1, 2);
  gets();
  // One that never stays the same is given up.
  start_afresh();
  hub_.fault = [](const Ask& ask) -> std::optional<Fault> {
    if (!is_file_of(ask)) return {};
    return Fault{.etag = "\"" + std::to_string(ask.number) + "\""};
  };
  const std::string message = fails(ErrorCode::kData);
  EXPECT_NE(message.find("changed on the server"), std::string::npos) << message;
}

TEST_F(HubPull, AnAddressWhoseFileChangedIsBegunAgain) {
  options_.connections = 1;
  options_.retries = 0;
  const std::string url = hub_.address() + "/x/m.gguf";
  hub_.files["/x/m.gguf"] = "GGUF" + std::string(model().size() - 4, 'x');
  hub_.fault = [](const Ask& ask) { return Fault{.cut_after = ask.number > 1 ? 1000u : 1u << 30}; };
  fails(ErrorCode::kUnavailable, url);
  hub_.fault = nullptr;
  hub_.files["/x/m.gguf"] = model();
  gets(url);
}

TEST_F(HubPull, APageInsteadOfTheFile) {
  fault({.body = "<!DOCTYPE html><html>sign in</html>", .content_type = "text/html"});
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("web page"), std::string::npos);
  EXPECT_FALSE(fs::exists(place() + ".part"));
  fault({.body = std::string(model().size(), '<')});  // its type lies
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("web page"), std::string::npos);
  fault({.body = std::string(model().size(), 'x')});
  EXPECT_NE(fails(ErrorCode::kData).find("no GGUF file"), std::string::npos);
  // In the middle of a download it costs nothing of what is there.
  options_.connections = 1;
  hub_.fault = [](const Ask& ask) -> std::optional<Fault> {
    if (!is_file_of(ask) || ask.header("range").starts_with("bytes=0-")) return {};
    return Fault{.body = "<html>", .content_type = "text/html; charset=utf-8"};
  };
  fails(ErrorCode::kUnavailable);
  hub_.fault = nullptr;
  const size_t before = hub_.asks("/resolve/").size();
  gets();
  EXPECT_FALSE(hub_.asks("/resolve/")[before].header("range").starts_with("bytes=0-"));
}

TEST_F(HubPull, AWrongSumIsNotInstalled) {
  hub_.sums["m-Q4_0.gguf"] = std::string(64, 'a');
  const std::string message = fails(ErrorCode::kData);
  EXPECT_NE(message.find(std::string(64, 'a')), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(place() + ".part"));
}

TEST_F(HubPull, WhatIsNoModelIsNotInstalled) {
  hub_.repositories["a/b"]["cut-Q4_0.gguf"] = model().substr(0, model().size() - 100);
  const std::string message = fails(ErrorCode::kData, "hf:a/b/cut-Q4_0.gguf");
  EXPECT_NE(message.find("not kept"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(place("hf/a/b/cut-Q4_0.gguf") + ".part"));
}

TEST_F(HubPull, SizesOtherThanAnnouncedOrPossible) {
  fault({.body = "GGUF" + model()});
  EXPECT_NE(fails(ErrorCode::kData).find("announced"), std::string::npos);
  hub_.files["/m.gguf"] = model();
  const std::string url = hub_.address() + "/m.gguf";
  for (const char* length : {"4611686018427387904", "99999999999999999999999"}) {
    hub_.fault = [=](const Ask&) { return Fault{.content_length = length, .no_ranges = true}; };
    const auto pulled = pull_model(url, options_, {});
    ASSERT_FALSE(pulled) << length;
    EXPECT_FALSE(fs::exists(place("url")) && !fs::is_empty(place("url")) && pulled);
  }
  hub_.fault = [](const Ask&) { return Fault{.content_range = "bytes 0-5/4611686018427387904"}; };
  const std::string room = fails(ErrorCode::kIo, url);
  EXPECT_NE(room.find("NIBBLE_HOME"), std::string::npos) << room;
  hub_.files["/m.gguf"] = "";
  hub_.fault = [](const Ask&) { return Fault{.no_ranges = true}; };
  fails(ErrorCode::kData, url);
}

TEST_F(HubPull, ATokenGoesToTheHubAlone) {
  FakeHub other;
  other.files["/a/b/resolve/c0ffee/m-Q4_0.gguf"] = model();
  hub_.redirect_to = other.address();
  options_.token = "hf_secret";
  gets();
  for (const Ask& ask : hub_.asks()) EXPECT_EQ(ask.header("authorization"), "Bearer hf_secret");
  EXPECT_FALSE(other.asks().empty());
  // Nor to the server of an address.
  gets(other.address() + "/a/b/resolve/c0ffee/m-Q4_0.gguf");
  for (const Ask& ask : other.asks()) EXPECT_EQ(ask.header("authorization"), "") << ask.path;
}

TEST_F(HubPull, RedirectsThatAreNotFollowed) {
  for (const char* to : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/x"}) {
    fault({.status = 302, .more_headers = std::string("Location: ") + to + "\r\n"});
    const std::string message = fails(ErrorCode::kUnavailable);
    EXPECT_NE(message.find("not followed"), std::string::npos) << message;
  }
  hub_.redirect_to = hub_.address();  // to itself
  hub_.fault = nullptr;
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("leads on"), std::string::npos);
}

TEST_F(HubPull, GatedModelsSayWhatToDo) {
  fault({.status = 401, .more_headers = "X-Error-Code: GatedRepo\r\n"});
  const std::string without = fails(ErrorCode::kPermission);
  for (const char* text : {"accept the terms", "/a/b", "HF_TOKEN", "/settings/tokens"}) {
    EXPECT_NE(without.find(text), std::string::npos) << without;
  }
  fault({.status = 403});
  options_.token = "x";
  EXPECT_NE(fails(ErrorCode::kPermission).find("that account"), std::string::npos);
}

TEST_F(HubPull, MissingModelsSaySo) {
  EXPECT_NE(fails(ErrorCode::kNoInput, "hf:a/gone").find("check its name"), std::string::npos);
  const std::string type = fails(ErrorCode::kNoInput, "hf:a/b:Q8_0");
  EXPECT_NE(type.find("it has Q4_0"), std::string::npos) << type;
  EXPECT_NE(fails(ErrorCode::kNoInput, "hf:a/b/other.gguf").find("Q4_0"), std::string::npos);
  fault({.status = 404});
  fails(ErrorCode::kNoInput);
  hub_.repositories["a/empty"];
  EXPECT_NE(fails(ErrorCode::kNoInput, "hf:a/empty").find("no GGUF"), std::string::npos);
  fails(ErrorCode::kNoInput, hub_.address() + "/gone.gguf");
  fails(ErrorCode::kUsage, "just-a-word");
}

TEST_F(HubPull, PassingTroubleIsWaitedFor) {
  options_.piece_bytes = 8 << 20;
  for (const int status : {429, 500, 502, 503, 504, 408}) {
    start_afresh();
    hub_.fault = [=](const Ask& ask) -> std::optional<Fault> {
      if (ask.number % 3 == 0) return {};
      return Fault{.status = status};
    };
    gets();
  }
  start_afresh();
  fault({.status = 500});
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("500"), std::string::npos);
  fault({.status = 429, .more_headers = "Retry-After: 3600\r\n"});  // too long to wait
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("429"), std::string::npos);
}

TEST_F(HubPull, ASilentServerIsLeft) {
  options_.stall_s = 1;
  options_.retries = 0;
  fault({.wait_ms = 60'000});
  const std::string message = fails(ErrorCode::kUnavailable);
  EXPECT_NE(message.find("127.0.0.1"), std::string::npos) << message;
}

TEST_F(HubPull, NobodyThere) {
  options_.endpoint = "http://127.0.0.1:1";
  fails(ErrorCode::kUnavailable);
  options_.endpoint = "nonsense";
  EXPECT_NE(fails(ErrorCode::kUsage).find("HF_ENDPOINT"), std::string::npos);
}

TEST_F(HubPull, AHubThatSaysNonsense) {
  for (const std::string& body :
       {std::string(), std::string("<html>"), std::string("[]"), std::string("{}"),
        std::string(R"({"siblings":7})"), std::string("{\"siblings\":[7,null]"),
        std::string(100'000, '[')}) {
    hub_.fault = [=](const Ask&) { return Fault{.body = body}; };
    EXPECT_NE(fails(ErrorCode::kUnavailable).find("no list of files"), std::string::npos);
  }
  const std::string long_one(17 << 20, ' ');
  hub_.fault = [&](const Ask&) { return Fault{.body = long_one}; };
  EXPECT_NE(fails(ErrorCode::kUnavailable).find("too long"), std::string::npos);
}

TEST_F(HubPull, HostileNamesOfFilesBecomeNone) {
  hub_.repositories["a/b"].clear();
  for (const char* name :
       {"../../x-Q4_0.gguf", "/tmp/x-Q4_0.gguf", "a/../../x-Q4_0.gguf", "x\\u0000-Q4_0.gguf",
        "x\\n-Q4_0.gguf", "..\\\\x-Q4_0.gguf", ".x-Q4_0.gguf", "a//x-Q4_0.gguf"}) {
    hub_.siblings = std::string(R"(,{"rfilename":")") + name + R"(","size":9})";
    EXPECT_NE(fails(ErrorCode::kNoInput, "hf:a/b:Q4_0").find("no GGUF"), std::string::npos) << name;
  }
  hub_.siblings = R"(,{"rfilename":7},{"size":1},7,null)";
  fails(ErrorCode::kNoInput, "hf:a/b");
  for (const char* path : {"/../x.gguf", "/a/../x.gguf", "//x.gguf", "/.x.gguf"}) {
    fails(ErrorCode::kUsage, hub_.address() + path);
  }
}

TEST_F(HubPull, TheNameLeavesAChoice) {
  auto& files = hub_.repositories["a/b"];
  for (const char* name : {"m-Q8_0.gguf", "m-Q4_K_M.gguf", "mmproj-m-F16.gguf", "m.imatrix.gguf"}) {
    files[name] = model();
  }
  hub::PullPlan seen;
  options_.approve = [&](const hub::PullPlan& plan) -> Result<void> {
    seen = plan;
    return {};
  };
  gets("hf:a/b");
  ASSERT_EQ(seen.choices.size(), 3u);
  EXPECT_EQ(seen.choices[0].type, "Q4_0");
  EXPECT_EQ(seen.choices[1].type, "Q4_K_M");
  EXPECT_EQ(seen.choices[2].type, "Q8_0");
  EXPECT_TRUE(fs::exists(place()));
}

TEST_F(HubPull, APlanComesBeforeTheMostOfIt) {
  options_.piece_bytes = 1 << 20;
  size_t asked = 0;
  options_.approve = [&](const hub::PullPlan& plan) -> Result<void> {
    asked = hub_.asks("/resolve/").size();
    EXPECT_EQ(plan.bytes, model().size());
    EXPECT_EQ(fs::file_size(plan.header), model().size());
    EXPECT_EQ(read_file(plan.header).substr(0, 1 << 20), model().substr(0, 1 << 20));
    return Error{ErrorCode::kInterrupted, "no"};
  };
  EXPECT_EQ(fails(ErrorCode::kInterrupted), "no");
  EXPECT_EQ(asked, 1u);
  options_.approve = nullptr;
  gets();  // the first piece is not asked for again
  EXPECT_FALSE(hub_.asks("/resolve/")[1].header("range").starts_with("bytes=0-"));
}

TEST_F(HubPull, ThePlanAlone) {
  options_.piece_bytes = 1 << 20;
  options_.plan_only = true;
  const auto planned = pull_model(kName, options_, {});
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(planned->model.path, place() + ".part");
  EXPECT_EQ(hub_.asks("/resolve/").size(), 1u);
  EXPECT_FALSE(fs::exists(place()));
}

TEST_F(HubPull, CancelledItKeepsWhatCame) {
  std::atomic<bool> stop{false};
  options_.connections = 1;
  options_.cancelled = [&] { return stop.load(); };
  fault({.chunk_ms = 5});
  const auto pulled = pull_model(kName, options_, [&](const hub::PullProgress& now) {
    EXPECT_LE(now.done, now.total);
    stop = now.done > 1 << 20;
  });
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, ErrorCode::kInterrupted);
  stop = false;
  const size_t before = hub_.asks("/resolve/").size();
  gets();
  EXPECT_FALSE(hub_.asks("/resolve/")[before].header("range").starts_with("bytes=0-"));
}

TEST_F(HubPull, PullsOfOneFileWaitForEachOther) {
  fault({.chunk_ms = 5});
  options_.connections = 1;
  std::vector<std::thread> threads;
  std::atomic<int> downloads{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const auto pulled = pull_model(kName, options_, {});
      EXPECT_TRUE(pulled);
      if (pulled && !pulled->was_here) ++downloads;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(downloads, 1);
  EXPECT_EQ(hub_.asks("/resolve/").size(), (model().size() - 1) / options_.piece_bytes + 1);
  gets();
}

TEST_F(HubPull, AnAddressWithASum) {
  const std::string url = hub_.address() + "/dir/m.gguf";
  hub_.files["/dir/m.gguf"] = model();
  options_.sha256 = std::string(64, 'b');
  fails(ErrorCode::kData, url);
  options_.sha256 = model_sum();
  gets(url);
  EXPECT_TRUE(fs::exists(place("url/127.0.0.1:" + std::to_string(hub_.port()) + "/dir/m.gguf")));
  EXPECT_EQ(hub::Store(options_.places.store).list().at(0).name, url);
}

// The rights of a folder do not bind root, so a file stands in the way.
TEST_F(HubPull, AStoreThatCannotBeWritten) {
  std::ofstream(home_.file("store")) << "x";
  EXPECT_NE(fails(ErrorCode::kCannotCreate).find("NIBBLE_HOME"), std::string::npos);
}

}  // namespace
}  // namespace nibble::test
