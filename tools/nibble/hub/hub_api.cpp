#include "tools/nibble/hub/hub_api.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/file/concat.h"
#include "tools/nibble/hub/sha256.h"

namespace nibble::hub {
namespace {

using Json = nlohmann::json;

constexpr size_t kAnswerMax = 16 << 20;
constexpr std::string_view kPreferred[] = {"Q4_0",   "Q4_K_M", "Q8_0", "Q6_K",
                                           "Q5_K_M", "Q4_K_S", "F16",  "BF16"};

class Text final : public Receiver {
 public:
  bool begin(const Head&) override { return true; }
  bool data(const char* bytes, size_t count) override {
    if (text.size() + count > kAnswerMax) return false;
    text.append(bytes, count);
    return true;
  }
  std::string text;
};

// One GET, tried again where that may help. The last answer, whatever its status; error 69 or 130
// without any.
Result<Finished> get(Transfers& transfers, const HubAccess& access, const std::string& url,
                     std::string* text) {
  for (int attempt = 0;; ++attempt) {
    Text answer;
    transfers.start({url, {"Accept: application/json"}, {}}, &answer);
    std::vector<Finished> finished;
    while (finished.empty()) {
      if (access.cancelled && access.cancelled()) {
        transfers.stop_all();
        return Error{ErrorCode::kInterrupted, "interrupted"};
      }
      finished = transfers.poll(100);
    }
    *text = std::move(answer.text);
    Finished& last = finished.front();
    const int status = last.head.status;
    const bool whole = last.how == Finished::How::kWhole;
    const bool passing =
        whole ? status == 408 || status == 429 || status >= 500 : last.how == Finished::How::kCut;
    const int retries = last.reached ? access.retries : std::min(access.retries, 1);
    if (passing && attempt < retries) {
      std::this_thread::sleep_for(std::min(access.retry_delay * (1 << std::min(attempt, 6)),
                                           std::chrono::milliseconds(5000)));
      continue;
    }
    if (whole) return std::move(last);
    return Error{
        ErrorCode::kUnavailable,
        concat(url, ": ",
               last.how == Finished::How::kStopped ? "the answer is too long" : last.message)};
  }
}

std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
    }
  }
  return out;
}

uint64_t number_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

HubFile read_file(const Json& sibling) {
  HubFile file;
  if (!sibling.is_object()) return file;
  file.path = text_of(sibling, "rfilename");
  file.bytes = number_of(sibling, "size");
  if (const auto lfs = sibling.find("lfs"); lfs != sibling.end() && lfs->is_object()) {
    file.sha256 = lower(text_of(*lfs, "sha256"));
    if (number_of(*lfs, "size") > 0) file.bytes = number_of(*lfs, "size");
  }
  if (!is_sha256(file.sha256)) file.sha256.clear();
  return file;
}

std::string names_of(const std::vector<Choice>& all) {
  std::string names;
  for (size_t i = 0; i < all.size() && i < 12; ++i) {
    names += (i == 0 ? "" : ", ") + (all[i].type.empty() ? all[i].file : all[i].type);
  }
  return all.size() > 12 ? names + ", ..." : names;
}

}  // namespace

Error explain_answer(const HubAccess& access, const std::string& repository,
                     const std::string& what, const Finished& finished) {
  const int status = finished.head.status;
  const std::string code = finished.head.header("x-error-code");
  const std::string page = access.endpoint + "/" + repository;
  if (!repository.empty() &&
      (code == "GatedRepo" || status == 403 || (status == 401 && code != "RepoNotFound"))) {
    std::string message = concat(what, ": its publisher wants to know who gets it (", status, ").");
    message += concat(" 1. Sign in and accept the terms at ", page, ".");
    if (!access.has_token) {
      message += concat(" 2. Make a token that may read at ", access.endpoint, "/settings/tokens.",
                        " 3. Put it into HF_TOKEN and try again");
    } else {
      message +=
          " 2. See that the token in HF_TOKEN is of that account and may read gated "
          "repositories; then try again";
    }
    return {ErrorCode::kPermission, message};
  }
  if (status == 404 || status == 410 || code == "RepoNotFound" || code == "EntryNotFound") {
    return {ErrorCode::kNoInput,
            concat(what, ": there is no such ", repository.empty() ? "file" : "model", " at ",
                   origin_of(finished.url), " (", status, "); check its name",
                   repository.empty() || access.has_token
                       ? ""
                       : ", or if it is private put a token into HF_TOKEN")};
  }
  if (status == 401 || status == 403) {
    return {ErrorCode::kPermission, concat(what, ": the server wants a sign-in (", status,
                                           "); download it with a browser, then: nibble import "
                                           "FILE")};
  }
  if (status == 429) {
    return {ErrorCode::kUnavailable,
            concat(what, ": the server has had too many requests from here (429); wait a while",
                   access.has_token ? "" : ", or put a token into HF_TOKEN",
                   "; what came is kept, the same command continues")};
  }
  return {ErrorCode::kUnavailable,
          concat(what, ": the server answers ", status, "; what came is kept, try again later")};
}

Result<Repository> read_repository(Transfers& transfers, const HubAccess& access,
                                   const std::string& repository) {
  const std::string url = concat(access.endpoint, "/api/models/", repository, "?blobs=true");
  std::string text;
  NIBBLE_TRY(const Finished finished, get(transfers, access, url, &text));
  if (finished.head.status != 200) {
    return explain_answer(access, repository, "hf:" + repository, finished);
  }
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("siblings") || !json["siblings"].is_array()) {
    return Error{ErrorCode::kUnavailable,
                 concat(url, ": the answer is no list of files; is this the address of a hub (see ",
                        "--endpoint), or does a proxy answer for it?")};
  }
  Repository result;
  result.name = repository;
  result.commit = text_of(json, "sha");
  if (result.commit.empty() ||
      result.commit.find_first_not_of("0123456789abcdef") != std::string::npos) {
    result.commit = "main";
  }
  for (const Json& sibling : json["siblings"]) {
    HubFile file = read_file(sibling);
    if (is_safe_path(file.path) && lower(file.path).ends_with(".gguf")) {
      result.files.push_back(std::move(file));
    }
  }
  return result;
}

std::vector<Choice> choices(const Repository& repository) {
  std::map<std::string, uint64_t> sizes;
  for (const HubFile& file : repository.files) sizes[file.path] = file.bytes;
  std::vector<Choice> all;
  for (const auto& [path, bytes] : sizes) {
    const std::string base = lower(path.substr(path.find_last_of('/') + 1));
    // Eyes of a model and statistics of its weights are no models.
    if (base.starts_with("mmproj") || base.find("imatrix") != std::string::npos) continue;
    const auto shard = shard_of(path);
    if (shard && shard->number != 1) continue;
    Choice choice{path, type_of(path), 0};
    bool whole = true;
    for (const std::string& part : shard_names(path)) {
      whole = whole && sizes.count(part) > 0;
      if (whole) choice.bytes += sizes[part];
    }
    if (whole) all.push_back(std::move(choice));
  }
  const auto rank = [](const Choice& choice) {
    return std::find(std::begin(kPreferred), std::end(kPreferred), choice.type) -
           std::begin(kPreferred);
  };
  std::stable_sort(all.begin(), all.end(), [&](const Choice& a, const Choice& b) {
    return std::pair(rank(a), a.bytes) < std::pair(rank(b), b.bytes);
  });
  return all;
}

Result<std::string> choose_file(const Repository& repository, const HubName& name) {
  const std::vector<Choice> all = choices(repository);
  if (all.empty()) {
    return Error{ErrorCode::kNoInput,
                 concat("hf:", repository.name, " holds no GGUF file; look for a repository whose ",
                        "name ends in -GGUF, or make one of it with nibble convert")};
  }
  if (!name.file.empty()) {
    for (const Choice& choice : all) {
      if (choice.file == name.file) return choice.file;
    }
    return Error{ErrorCode::kNoInput,
                 concat("hf:", repository.name, " holds no model ", nibble::quoted(name.file),
                        "; it has ", names_of(all))};
  }
  std::vector<std::string> same;
  for (const Choice& choice : all) {
    if (name.type.empty() || lower(choice.type) == lower(name.type)) same.push_back(choice.file);
  }
  if (same.empty()) {
    return Error{ErrorCode::kNoInput,
                 concat("hf:", repository.name, " has no ", name.type, "; it has ", names_of(all))};
  }
  return same.front();
}

std::string file_url(const HubAccess& access, const Repository& repository,
                     const std::string& file) {
  return concat(access.endpoint, "/", repository.name, "/resolve/", repository.commit, "/",
                escaped(file));
}

}  // namespace nibble::hub
