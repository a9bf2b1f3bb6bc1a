// The store and the caches of other programs, by the commands: list, show, rm, import, and a name
// as MODEL. The folders are laid out as those programs do.
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/child.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kSum(64, 'a');

class HubStore : public testing::Test {
 protected:
  HubStore() {
    environment_ = {{"HOME", home_.path()},
                    {"OLLAMA_MODELS", home_.file("ollama")},
                    {"NIBBLE_HOME", home_.file("store")},
                    {"HF_HUB_OFFLINE", "1"}};
  }
  Outcome nibble(const std::vector<std::string>& arguments) {
    return run(arguments, {.environment = environment_});
  }
  // A copy of the built-in model, or `content`.
  std::string put(const std::string& relative, const std::string& content = {}) {
    const std::string path = home_.file(relative);
    fs::create_directories(fs::path(path).parent_path());
    if (content.empty()) {
      fs::copy_file(kModel, path);
    } else {
      std::ofstream(path, std::ios::binary) << content;
    }
    return path;
  }
  // The path of each name that `nibble list` shows.
  std::map<std::string, std::string> listed() {
    const Outcome outcome = nibble({"list", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::map<std::string, std::string> paths;
    const Json list = Json::parse(outcome.out);
    for (const Json& model : list["models"]) {
      paths[model["name"]] = model["path"];
    }
    return paths;
  }
  void put_ollama(const std::string& name, const std::string& digest) {
    put("ollama/manifests/registry.ollama.ai/library/" + name,
        R"({"layers":[{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:00"},
            {"mediaType":"application/vnd.ollama.image.model","digest":")" +
            digest + "\"}]}");
  }

  Folder home_;
  Environment environment_;
};

TEST_F(HubStore, AnEmptyOneSaysHowToBegin) {
  const Outcome outcome = nibble({"list"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("nibble pull"), std::string::npos) << outcome.err;
  const Outcome all = nibble({"list", "--all"});
  EXPECT_NE(all.out.find("gemma3:1b"), std::string::npos);
  EXPECT_NE(all.out.find("957.1 MiB"), std::string::npos) << all.out;
}

TEST_F(HubStore, ImportedModelsRunByName) {
  const Outcome imported = nibble({"import", kModel, "tiny"});
  ASSERT_EQ(imported.code, 0) << imported.err;
  EXPECT_EQ(listed().at("tiny"), home_.file("store/models/tiny.gguf"));
  const Outcome shown = nibble({"show", "tiny", "--json"});
  ASSERT_EQ(shown.code, 0) << shown.err;
  const Json facts = Json::parse(shown.out);
  EXPECT_EQ(facts["from"], kModel);
  EXPECT_EQ(facts["architecture"], "gemma3");
  EXPECT_EQ(facts["sha256"].get<std::string>().size(), 64u);
  const Outcome story =
      nibble({"run", "tiny", "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"});
  const Outcome direct =
      nibble({"run", kModel, "--raw", "-p", "Once upon a time", "-n", "4", "--temp", "0"});
  EXPECT_EQ(story.code, 0) << story.err;
  EXPECT_EQ(story.out, direct.out);
  EXPECT_NE(story.out, "");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"inspect", "tiny"}, {"plan", "tiny"}, {"tokenize", "tiny"}}) {
    const Outcome outcome = nibble(command);
    EXPECT_EQ(outcome.code, 0) << command[0] << ": " << outcome.err;
  }
  const Outcome again = nibble({"import", kModel, "tiny"});
  EXPECT_EQ(again.code, 64);
  EXPECT_NE(again.err.find("nibble rm tiny"), std::string::npos) << again.err;
  EXPECT_EQ(nibble({"rm", "tiny"}).code, 0);
  EXPECT_TRUE(listed().empty());
  EXPECT_TRUE(fs::is_empty(home_.file("store/models")));
}

TEST_F(HubStore, LinksLeaveTheFileWhereItIs) {
  const std::string file = put("elsewhere/model.gguf");
  ASSERT_EQ(nibble({"import", file, "--link"}).code, 0);
  EXPECT_TRUE(fs::is_symlink(home_.file("store/models/model.gguf")));
  EXPECT_EQ(Json::parse(nibble({"show", "model", "--json"}).out)["link to"], file);
  EXPECT_EQ(nibble({"rm", "model"}).code, 0);
  EXPECT_TRUE(fs::exists(file));
}

TEST_F(HubStore, ImportRefusesWhatIsNoModel) {
  const std::string page = put("page.gguf", "<!DOCTYPE html>");
  EXPECT_EQ(nibble({"import", page, "x"}).code, 65);
  EXPECT_EQ(nibble({"import", home_.file("gone.gguf")}).code, 66);
  for (const char* name :
       {"../x", "/x", "a/../../x", "hf/a/b/c", "gemma3:1b", ".x", "a b", "x.gguf"}) {
    EXPECT_EQ(nibble({"import", kModel, name}).code, 64) << name;
  }
  EXPECT_FALSE(fs::exists(home_.file("x.gguf")));
  EXPECT_TRUE(listed().empty());
}

TEST_F(HubStore, AFolderThatCannotBeMadeNamesTheVariable) {
  put("file", "x");
  environment_["NIBBLE_HOME"] = home_.file("file/below");
  const Outcome outcome = nibble({"import", kModel, "x"});
  EXPECT_EQ(outcome.code, 73) << outcome.err;
  EXPECT_NE(outcome.err.find("NIBBLE_HOME"), std::string::npos) << outcome.err;
}

TEST_F(HubStore, HomeAndXdgChooseThePlace) {
  environment_.erase("NIBBLE_HOME");
  ASSERT_EQ(nibble({"import", kModel, "x"}).code, 0);
  EXPECT_TRUE(fs::exists(home_.file(".local/share/nibble/models/x.gguf")));
  environment_["XDG_DATA_HOME"] = home_.file("data");
  ASSERT_EQ(nibble({"import", kModel, "y"}).code, 0);
  EXPECT_TRUE(fs::exists(home_.file("data/nibble/models/y.gguf")));
}

// A person may put files there by hand.
TEST_F(HubStore, FilesPutThereAreModels) {
  put("store/models/by-hand.gguf");
  put("store/models/mine/other-Q4_0.gguf");
  put("store/models/hf/google/gemma-3-1b-it-qat-q4_0-gguf/gemma-3-1b-it-q4_0.gguf");
  put("store/models/hf/a/b/c-Q8_0.gguf");
  put("store/models/unfinished.gguf.part", "GGUF");
  put("store/models/notes.txt", "x");
  const auto names = listed();
  EXPECT_EQ(names.size(), 4u);
  for (const char* name : {"by-hand", "mine/other-Q4_0", "gemma3:1b", "hf:a/b/c-Q8_0.gguf"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
    EXPECT_EQ(nibble({"show", name}).code, 0) << name;
  }
  // The same file by its other names.
  for (const char* name :
       {"hf:a/b", "hf:a/b:q8_0", "https://huggingface.co/a/b/blob/main/c-Q8_0.gguf"}) {
    EXPECT_EQ(nibble({"show", name, "--path"}).out, names.at("hf:a/b/c-Q8_0.gguf") + "\n") << name;
  }
  EXPECT_EQ(nibble({"rm", "hf:a/b:Q8_0", "by-hand"}).code, 0);
  EXPECT_FALSE(fs::exists(home_.file("store/models/hf/a")));
  EXPECT_EQ(listed().size(), 2u);
}

TEST_F(HubStore, SplitModelsAreOne) {
  put("store/models/hf/a/b/c-00001-of-00002.gguf");
  EXPECT_TRUE(listed().empty());  // the second is missing
  put("store/models/hf/a/b/c-00002-of-00002.gguf");
  ASSERT_EQ(listed().size(), 1u);
  EXPECT_EQ(nibble({"rm", "hf:a/b/c-00001-of-00002.gguf"}).code, 0);
  EXPECT_FALSE(fs::exists(home_.file("store/models/hf")));
}

TEST_F(HubStore, CachesOfOthersAreUsedInPlace) {
  put_ollama("gemma3/1b", "sha256:" + kSum);
  put_ollama("mine/latest", "sha256:" + kSum);
  const std::string blob = put("ollama/blobs/sha256-" + kSum);
  const std::string flat = put(".cache/llama.cpp/x_y_z-Q4_0.gguf");
  const std::string hub = ".cache/huggingface/hub/models--a--b--c/";
  put(hub + "blobs/123");
  put(hub + "refs/main", "new\n");
  for (const std::string commit : {"aold", "new", "zold"}) {
    fs::create_directories(home_.file(hub + "snapshots/" + commit));
    fs::create_symlink("../../blobs/123", home_.file(hub + "snapshots/" + commit + "/m-Q4_0.gguf"));
  }
  const auto names = listed();
  EXPECT_EQ(names.size(), 4u);
  EXPECT_EQ(names.at("ollama:gemma3:1b"), blob);
  EXPECT_EQ(names.at("llama.cpp:x_y_z-Q4_0"), flat);
  const std::string snapshot = home_.file(hub + "snapshots/new/m-Q4_0.gguf");
  EXPECT_EQ(names.at("hf:a/b--c/m-Q4_0.gguf"), snapshot);
  const std::pair<const char*, std::string> same[] = {{"ollama:mine", blob},
                                                      {"mine:latest", blob},
                                                      {"hf:x/y/z-Q4_0.gguf", flat},
                                                      {"hf:a/b--c:Q4_0", snapshot},
                                                      {"hf:a/b--c/m-Q4_0.gguf", snapshot}};
  for (const auto& [name, path] : same) {
    EXPECT_EQ(nibble({"show", name, "--path"}).out, path + "\n") << name;
  }
  const Outcome story = nibble({"run", "ollama:gemma3:1b", "--raw", "-p", "Once", "-n", "2"});
  EXPECT_EQ(story.code, 0) << story.err;
  const Outcome removed = nibble({"rm", "ollama:mine"});
  EXPECT_EQ(removed.code, 64);
  EXPECT_NE(removed.err.find("Ollama"), std::string::npos);
  EXPECT_TRUE(fs::exists(blob));
}

TEST_F(HubStore, HostileManifestsNameNothing) {
  put("secret/x");
  put_ollama("up/1", "sha256:../../secret/x");
  put_ollama("short/1", "sha256:" + kSum.substr(1));
  put("ollama/manifests/registry.ollama.ai/library/broken/1", "{\"layers\":[");
  put("ollama/manifests/registry.ollama.ai/library/odd/1", "{\"layers\":{\"a\":1}}");
  put("ollama/blobs/sha256-" + kSum);
  EXPECT_TRUE(listed().empty());
}

TEST_F(HubStore, UnknownNames) {
  EXPECT_EQ(nibble({"run", "gemma3:2b", "hello"}).code, 66);
  const Outcome typo = nibble({"inspect", "gemma3:2b"});
  EXPECT_EQ(typo.code, 66);
  EXPECT_NE(typo.err.find("did you mean"), std::string::npos) << typo.err;
  const Outcome word = nibble({"serve", "nothing"});
  EXPECT_EQ(word.code, 66);
  EXPECT_NE(word.err.find("no model 'nothing'"), std::string::npos) << word.err;
  EXPECT_EQ(nibble({"inspect", "hf:nothing"}).code, 64);
  EXPECT_EQ(nibble({"rm", "gone"}).code, 66);
  EXPECT_EQ(nibble({"show", "gone"}).code, 66);
  const Outcome offline = nibble({"run", "gemma3:1b", "hello"});
  EXPECT_EQ(offline.code, 66);
  EXPECT_NE(offline.err.find("HF_HUB_OFFLINE"), std::string::npos) << offline.err;
  const std::string file = put("a/file.gguf");
  EXPECT_EQ(nibble({"rm", file}).code, 64);
  EXPECT_TRUE(fs::exists(file));
}

}  // namespace
}  // namespace nibble::test
