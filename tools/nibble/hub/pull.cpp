#include "tools/nibble/hub/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <utility>

#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"
#include "tools/nibble/hub/download.h"
#include "tools/nibble/hub/file_lock.h"
#include "tools/nibble/hub/resolve.h"
#include "tools/nibble/hub/sha256.h"

namespace nibble::hub {
namespace {

using Clock = std::chrono::steady_clock;

// Bytes per second over the last seconds.
class Rate {
 public:
  double of(uint64_t done) {
    const auto now = Clock::now();
    // What was there before, or was thrown away, is no speed.
    if (marks_.empty() || done < marks_.back().second) marks_ = {{now, done}};
    if (now - marks_.back().first > std::chrono::milliseconds(200)) marks_.push_back({now, done});
    while (marks_.size() > 2 && now - marks_.front().first > std::chrono::seconds(8)) {
      marks_.pop_front();
    }
    const double seconds = std::chrono::duration<double>(now - marks_.front().first).count();
    return seconds < 0.5 ? 0 : static_cast<double>(done - marks_.front().second) / seconds;
  }

 private:
  std::deque<std::pair<Clock::time_point, uint64_t>> marks_;
};

// A file to be downloaded and where it belongs.
struct Item {
  DownloadSource source;
  std::string path;
  std::string from;
  std::string commit;
};

bool exists(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0;
}

class Pull {
 public:
  Pull(const ModelName& name, const PullOptions& options,
       const std::function<void(const PullProgress&)>& progress)
      : name_(name),
        options_(options),
        store_(options.places.store),
        progress_(progress),
        access_{options.endpoint, !options.token.empty(), options.retries, options.retry_delay,
                options.cancelled} {}

  Result<Pulled> run() {
    TransferOptions transfer;
    transfer.token = options_.token;
    transfer.token_origin = origin_of(options_.endpoint);
    transfer.stall_s = options_.stall_s;
    NIBBLE_TRY(transfers_, Transfers::create(transfer));
    NIBBLE_TRY_VOID(name_.kind == ModelName::Kind::kHub ? plan_hub() : plan_url());
    const std::string first = items_.front().path;
    if (const uint64_t bytes = model_bytes(first); bytes > 0) {  // chosen by type: known only now
      return Pulled{{shown_, first, bytes, type_of(first), "nibble"}, true};
    }
    NIBBLE_TRY_VOID(make_folders_for(first));
    bool told = false;
    NIBBLE_TRY(const FileLock lock, FileLock::take(first + ".lock", [&] {
                 if (!std::exchange(told, true)) {
                   note(concat("another process is downloading ", shown_, "; waiting for it"));
                 }
                 return !options_.cancelled || !options_.cancelled();
               }));
    if (const uint64_t bytes = model_bytes(first); bytes > 0) {
      return Pulled{{shown_, first, bytes, type_of(first), "nibble"}, true};
    }
    return get();
  }

 private:
  void note(const std::string& text) const {
    if (options_.note) options_.note(text);
  }

  Result<void> plan_hub() {
    if (origin_of(options_.endpoint).empty()) {
      return Error{ErrorCode::kUsage, concat("'", options_.endpoint,
                                             "' is not the address of a hub; give --endpoint or "
                                             "HF_ENDPOINT like ",
                                             kHubHome)};
    }
    NIBBLE_TRY(const Repository repository,
               read_repository(*transfers_, access_, name_.hub.repository));
    NIBBLE_TRY(const std::string file, choose_file(repository, name_.hub));
    if (name_.hub.file.empty() && name_.hub.type.empty()) {
      plan_.choices = choices(repository);
      if (plan_.choices.size() < 2) plan_.choices.clear();
    }
    const HubName hub{repository.name, file, {}};
    shown_ = shown_name(hub);
    for (const std::string& part : shard_names(file)) {
      const auto found = std::find_if(repository.files.begin(), repository.files.end(),
                                      [&](const HubFile& one) { return one.path == part; });
      const HubName of_part{repository.name, part, {}};
      NIBBLE_TRY(std::string path, store_.place(of_part));
      items_.push_back({{file_url(access_, repository, part), found->bytes, found->sha256},
                        std::move(path),
                        of_part.text(),
                        repository.commit});
      if (found->sha256.empty()) note(concat(part, ": the hub tells no SHA-256 of it"));
    }
    return {};
  }

  Result<void> plan_url() {
    shown_ = name_.text;
    std::vector<std::string> urls = {name_.text};
    const size_t query = name_.text.find_first_of("?#");
    if (query == std::string::npos) urls = shard_names(name_.text);
    for (const std::string& url : urls) {
      NIBBLE_TRY(std::string path, store_.place_of_url(url));
      const Record record = read_record(path);
      if (exists(path) && record.from != url) {
        return Error{ErrorCode::kUsage,
                     concat(path, " is there, from ", record.from, "; remove it first: nibble rm")};
      }
      items_.push_back(
          {{url, 0, urls.size() == 1 ? options_.sha256 : ""}, std::move(path), url, {}});
    }
    return {};
  }

  Result<Pulled> get() {
    for (const Item& item : items_) total_ += item.source.bytes;
    std::vector<Downloaded> downloaded;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (exists(items_[i].path)) {  // a shard that was installed before a crash
        downloaded.emplace_back();
        before_ += items_[i].source.bytes;
        continue;
      }
      NIBBLE_TRY(Downloaded one, get_item(i));
      if (options_.plan_only) {
        const std::string part = part_path(items_[0].path);
        return Pulled{{shown_, part, one.bytes, type_of(items_[0].path), "nibble"}, false};
      }
      before_ += one.bytes;
      downloaded.push_back(std::move(one));
    }
    if (items_.size() == 1) NIBBLE_TRY_VOID(check_model(items_[0].path));
    for (size_t i = items_.size(); i-- > 0;) {  // the first last: with it the model is there
      if (downloaded[i].bytes > 0) NIBBLE_TRY_VOID(install(items_[i], downloaded[i]));
    }
    const std::string& first = items_.front().path;
    if (items_.size() > 1) NIBBLE_TRY_VOID(check_split(first));
    return Pulled{{shown_, first, model_bytes(first), type_of(first), "nibble"}, false};
  }

  Result<Downloaded> get_item(size_t index) {
    const Item& item = items_[index];
    DownloadOptions options;
    options.connections = options_.connections;
    options.piece_bytes = options_.piece_bytes;
    options.retries = options_.retries;
    options.retry_delay = options_.retry_delay;
    options.cancelled = options_.cancelled;
    options.first_piece_only = options_.plan_only;
    const bool hub = name_.kind == ModelName::Kind::kHub;
    options.explain = [&, hub](const Finished& finished) {
      return explain_answer(access_, hub ? name_.hub.repository : "", item.from, finished);
    };
    const std::string file = item.path.substr(item.path.find_last_of('/') + 1);
    options.progress = [&, index, file](uint64_t done, uint64_t total) {
      if (!progress_) return;
      PullProgress now;
      now.file = file;
      now.sha256 = item.source.sha256;
      now.number = index + 1;
      now.count = items_.size();
      now.done = before_ + done;
      now.total = std::max(total_, before_ + total);
      now.file_done = done;
      now.file_total = std::max(total, item.source.bytes);
      now.bytes_per_s = rate_.of(now.done);
      progress_(now);
    };
    if (index == 0 && options_.approve) {
      options.on_first_piece = [&](const std::string& part) -> Result<void> {
        plan_.name = shown_;
        struct stat info = {};
        stat(part.c_str(), &info);
        plan_.bytes = std::max(total_, static_cast<uint64_t>(info.st_size));
        if (items_.size() == 1) plan_.header = part;
        return options_.approve(plan_);
      };
    }
    return download(*transfers_, item.source, item.path, options);
  }

  // A file that is whole and is no model is not kept.
  Result<void> check_model(const std::string& path) const {
    const auto opened = GgufFile::open(part_path(path));
    if (opened) return {};
    discard_part(path);
    return Error{opened.error().code,
                 concat(shown_,
                        ": what was downloaded is no model that can be read and was not "
                        "kept: ",
                        opened.error().message)};
  }
  Result<void> check_split(const std::string& first) const {
    const auto opened = GgufFile::open(first);
    if (opened) return {};
    static_cast<void>(store_.remove({shown_, first, 0, {}, {}}).ok());
    return Error{opened.error().code,
                 concat(shown_,
                        ": what was downloaded is no model that can be read and was not "
                        "kept: ",
                        opened.error().message)};
  }

  Result<void> install(const Item& item, const Downloaded& downloaded) const {
    Record record;
    record.from = item.from;
    record.commit = item.commit;
    record.etag = downloaded.etag;
    record.sha256 = downloaded.sha256;
    record.bytes = downloaded.bytes;
    record.time = utc_now();
    NIBBLE_TRY_VOID(write_record(item.path, record));
    if (rename(part_path(item.path).c_str(), item.path.c_str()) != 0) {
      return Error{ErrorCode::kIo, concat(item.path, ": cannot be renamed to")};
    }
    discard_part(item.path);
    sync_folder_of(item.path);
    return {};
  }

  const ModelName name_;
  const PullOptions& options_;
  const Store store_;
  const std::function<void(const PullProgress&)>& progress_;
  const HubAccess access_;
  std::unique_ptr<Transfers> transfers_;
  std::string shown_;
  std::vector<Item> items_;
  PullPlan plan_;
  Rate rate_;
  uint64_t total_ = 0;   // where known
  uint64_t before_ = 0;  // bytes of the files before this one
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// What can stand in a header: anything else is no token.
std::string checked_token(std::string token) {
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  const bool plain =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  return plain ? token : std::string();
}

}  // namespace

PullOptions pull_options_from_environment() {
  PullOptions options;
  options.places = find_places();
  options.endpoint = variable("HF_ENDPOINT");
  if (options.endpoint.empty()) options.endpoint = kHubHome;
  options.token = checked_token(variable("HF_TOKEN"));
  if (options.token.empty() && !options.places.hugging_face_token.empty()) {
    std::ifstream in(options.places.hugging_face_token);
    std::string line;
    std::getline(in, line);
    options.token = checked_token(line.substr(0, 512));
  }
  return options;
}

std::string by_hand(const std::string& name, const std::string& endpoint) {
  const auto parsed = parse_model_name(name);
  if (!parsed || parsed->kind == ModelName::Kind::kOther) return {};
  if (parsed->kind == ModelName::Kind::kUrl) {
    return concat("get it with: curl -L -C - -O ", parsed->text, "  then: nibble import FILE");
  }
  const HubName& hub = parsed->hub;
  if (hub.file.empty()) {
    return concat("choose a file at ", endpoint, "/", hub.repository,
                  "/tree/main, download it, then: nibble import FILE");
  }
  const std::string base = hub.file.substr(hub.file.find_last_of('/') + 1);
  return concat("get it with: curl -L -C - -o ", base, " ", endpoint, "/", hub.repository,
                "/resolve/main/", hub.file, "  then: nibble import ", base);
}

Result<Pulled> pull_model(const std::string& name, const PullOptions& options,
                          const std::function<void(const PullProgress&)>& progress) {
  NIBBLE_TRY(const ModelName parsed, parse_model_name(name));
  if (parsed.kind == ModelName::Kind::kOther) {
    return Error{ErrorCode::kUsage,
                 concat("'", name,
                        "' is not a name that can be downloaded; see nibble list --all, "
                        "or write hf:OWNER/REPO or https://.../FILE.gguf")};
  }
  const bool chosen =
      parsed.kind == ModelName::Kind::kUrl || !parsed.hub.file.empty() || !parsed.hub.type.empty();
  if (chosen) {
    if (auto model = Store(options.places.store).find(parsed)) return Pulled{*model, true};
  }
  PullOptions clean = options;
  while (clean.endpoint.ends_with('/')) clean.endpoint.pop_back();
  auto result = Pull(parsed, clean, progress).run();
  if (!result && result.error().message.find("libcurl") != std::string::npos) {
    return Error{result.error().code,
                 concat(result.error().message, "; ", by_hand(name, clean.endpoint))};
  }
  return result;
}

}  // namespace nibble::hub
