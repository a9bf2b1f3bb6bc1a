#include "tools/nibble/hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/file/concat.h"
#include "tools/nibble/hub/model_name.h"
#include "tools/nibble/hub/pieces.h"
#include "tools/nibble/hub/sha256.h"

namespace nibble::hub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRestartsMax = 3;
constexpr uint64_t kUnknownEnd = UINT64_MAX;
constexpr auto kNoteEvery = std::chrono::seconds(5);
constexpr int kWaitMax_s = 60;  // that a server may ask for

std::string state_path(const std::string& path) {
  return part_path(path) + ".json";
}

// "bytes 5-9/100"
struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(const std::string& text) {
  unsigned long long begin = 0, last = 0, total = 0;
  int read = 0;
  if (text.starts_with("bytes ") && text.find_first_of("+ ", 6) == std::string::npos &&
      std::sscanf(text.c_str(), "bytes %20llu-%20llu/%20llu%n", &begin, &last, &total, &read) ==
          3 &&
      static_cast<size_t>(read) == text.size() && begin <= last && last < total) {
    return ContentRange{begin, last + 1, total};
  }
  return {};
}

// What tells versions of a file apart in If-Range: a strong ETag, else the time of its last change.
std::string version_of(const Head& head) {
  const std::string etag = head.header("etag");
  if (!etag.empty() && !etag.starts_with("W/")) return etag;
  return head.header("last-modified");
}

class Download {
 public:
  Download(Transfers& transfers, const DownloadSource& source, const std::string& path,
           const DownloadOptions& options)
      : transfers_(transfers),
        source_(source),
        path_(path),
        options_(options),
        connections_(std::max(options.connections, 1)) {}
  ~Download() {
    transfers_.stop_all();
    if (fd_ >= 0) close(fd_);
  }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  Result<Downloaded> run() {
    NIBBLE_TRY_VOID(open_part());
    Result<Downloaded> result = loop();
    transfers_.stop_all();
    if (!result) {
      note_state(true);
      if (state_.done() == 0) discard_part(path_);
    }
    return result;
  }

 private:
  enum class Verdict { kFine, kRestart, kOtherTry, kFatal };

  // One answer, which goes to its place in the file.
  class Active final : public Receiver {
   public:
    Active(Download* owner, size_t of_piece, uint64_t first)
        : owner_(owner), piece(of_piece), from(first), at(first) {}
    bool begin(const Head& head) override { return owner_->take_head(this, head); }
    bool data(const char* bytes, size_t count) override {
      return owner_->take_data(this, bytes, count);
    }

   private:
    Download* owner_;

   public:
    int id = 0;
    size_t piece;
    uint64_t from;
    uint64_t at;  // where its next byte belongs
    bool is_file = false;
    Verdict verdict = Verdict::kFine;
    Error error;
  };

  Result<void> open_part() {
    fd_ = open(part_path(path_).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct stat info = {};
    if (fd_ < 0 || fstat(fd_, &info) != 0) {
      const bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
      return Error{denied ? ErrorCode::kPermission : ErrorCode::kCannotCreate,
                   concat(part_path(path_), ": cannot be made: ", std::strerror(errno))};
    }
    auto found = read_part_state(state_path(path_), static_cast<uint64_t>(info.st_size));
    const bool same =
        found && found->sha256 == source_.sha256 &&
        (source_.bytes == 0 || found->bytes == source_.bytes) &&
        (!source_.sha256.empty() || (found->url == source_.url && !found->etag.empty()));
    if (same) {
      if (found->url != source_.url) found->etag.clear();  // another mirror of the same file
      state_ = std::move(*found);
      state_.url = source_.url;
      continued_ = state_.done() > 0;
      first_piece_told_ = false;
      return {};
    }
    return start_over();
  }

  Result<void> start_over() {
    transfers_.stop_all();
    actives_.clear();
    state_ = {source_.url, {}, source_.sha256, 0, {}};
    sum_ = {};
    summed_ = 0;
    continued_ = false;
    unlink(state_path(path_).c_str());
    if (ftruncate(fd_, 0) == 0) return {};
    return disk_error("emptying");
  }

  Error disk_error(const char* doing) const {
    const int error = errno;
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return {ErrorCode::kIo,
            concat(part_path(path_), ": ", doing, " failed: ", std::strerror(error),
                   full ? "; free some space, then the same command continues" : "")};
  }

  // The size is known now: is there room, and where do pieces begin?
  Result<void> plan_pieces(uint64_t bytes) {
    struct statvfs disk = {};
    if (fstatvfs(fd_, &disk) == 0) {
      const uint64_t room = uint64_t{disk.f_bavail} * disk.f_frsize;
      if (bytes > room) {
        return Error{ErrorCode::kIo,
                     concat(path_, ": needs ", bytes, " bytes, the disk has room for ", room,
                            "; free some, or name another place in NIBBLE_HOME")};
      }
    }
    if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return disk_error("making room");
    state_.bytes = bytes;
    state_.pieces = cut_into_pieces(bytes, whole_only_ ? bytes : options_.piece_bytes);
    return {};
  }

  static bool stop(Active* active, Verdict verdict, Error error) {
    active->verdict = verdict;
    active->error = std::move(error);
    return false;
  }
  bool bad(Active* active, const std::string& what) const {
    return stop(active, Verdict::kFatal, {ErrorCode::kData, concat(source_.url, ": ", what)});
  }
  bool web_page(Active* active) const {
    return stop(active, Verdict::kFatal,
                {ErrorCode::kUnavailable,
                 source_.url + ": the server sent a web page, not a model; open the address in a "
                               "browser to see what it wants (a sign-in, a proxy's notice)"});
  }

  bool take_head(Active* active, const Head& head) {
    if (head.status == 416) {
      return stop(active, Verdict::kRestart, {ErrorCode::kData, "the file became shorter"});
    }
    if (head.status != 200 && head.status != 206) return true;  // judged when it has ended
    if (head.header("content-type").starts_with("text/html")) return web_page(active);
    const std::string encoding = head.header("content-encoding");
    if (!encoding.empty() && encoding != "identity") {
      return bad(active, concat("comes in the encoding ", nibble::quoted(encoding),
                                ", which was not asked for"));
    }
    const std::string version = version_of(head);
    if (!state_.etag.empty() && !version.empty() && state_.etag != version) {
      return stop(active, Verdict::kRestart, {ErrorCode::kData, "the file changed on the server"});
    }
    return head.status == 206 ? take_part(active, head, version) : take_all(active, head, version);
  }

  bool take_part(Active* active, const Head& head, const std::string& version) {
    const auto range = parse_content_range(head.header("content-range"));
    const bool known = state_.bytes > 0;
    const uint64_t end = known ? state_.pieces[active->piece].end : options_.piece_bytes;
    if (!range || range->begin != active->at || range->end > end) {
      return stop(active, Verdict::kOtherTry,
                  {ErrorCode::kUnavailable,
                   concat("the server sent ", nibble::quoted(head.header("content-range")),
                          " where bytes from ", active->at, " on were asked for")});
    }
    return settle(active, range->total, version);
  }

  bool take_all(Active* active, const Head& head, const std::string& version) {
    const bool first = active->at == 0 && state_.done() == 0 && actives_.size() == 1;
    if (!first) {  // it does not give parts, or not of this version
      whole_only_ = true;
      return stop(active, Verdict::kRestart,
                  {ErrorCode::kData, "the server sends the whole file again"});
    }
    const std::string length = head.header("content-length");
    uint64_t total = source_.bytes;
    if (!length.empty() && length.find_first_not_of("0123456789") == std::string::npos) {
      errno = 0;
      total = std::strtoull(length.c_str(), nullptr, 10);
      if (errno != 0) total = kUnknownEnd;
    }
    if (!whole_only_) {
      whole_only_ = true;
      state_.bytes = 0;
    }
    if (total == 0) {  // ends when it ends
      state_.pieces = {{0, kUnknownEnd, 0}};
      state_.etag = version;
      active->is_file = true;
      return true;
    }
    return settle(active, total, version);
  }

  // An answer of a file of `total` bytes that is what was asked for.
  bool settle(Active* active, uint64_t total, const std::string& version) {
    if (source_.bytes != 0 && total != source_.bytes) {
      return bad(active, concat("has ", total, " bytes where ", source_.bytes,
                                " were announced; nothing was kept"));
    }
    if (state_.bytes != 0 && total != state_.bytes) {
      return stop(active, Verdict::kRestart, {ErrorCode::kData, "the file changed on the server"});
    }
    if (state_.bytes == 0) {
      if (auto planned = plan_pieces(total); !planned) {
        return stop(active, Verdict::kFatal, planned.error());
      }
    }
    if (state_.etag.empty()) state_.etag = version;
    active->is_file = true;
    return true;
  }

  bool take_data(Active* active, const char* bytes, size_t count) {
    if (!active->is_file) return true;
    Piece& piece = state_.pieces[active->piece];
    if (count > piece.end - active->at) {
      return stop(active, Verdict::kOtherTry,
                  {ErrorCode::kUnavailable, "the server sent more than it announced"});
    }
    constexpr std::string_view kMagic = "GGUF";
    for (size_t i = 0; i < count && active->at + i < kMagic.size(); ++i) {
      if (bytes[i] == kMagic[active->at + i]) continue;
      if (bytes[0] == '<') return web_page(active);
      return bad(active,
                 concat("is no GGUF file: it begins with ",
                        nibble::quoted(std::string_view(bytes, std::min<size_t>(count, 16)))));
    }
    size_t written = 0;
    while (written < count) {
      const ssize_t n =
          pwrite(fd_, bytes + written, count - written, static_cast<off_t>(active->at + written));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return stop(active, Verdict::kFatal, disk_error("writing"));
      written += static_cast<size_t>(n);
    }
    active->at += count;
    piece.done += count;
    came_ = true;
    return true;
  }

  // Adds what the beginning has grown by; false: there is more of it than fits a turn.
  Result<bool> sum_up() {
    uint64_t budget = 8 << 20;
    const uint64_t end = state_.beginning();
    buffer_.resize(1 << 20);
    while (summed_ < end && budget > 0) {
      const size_t wanted = std::min<uint64_t>({buffer_.size(), end - summed_, budget});
      const ssize_t n = pread(fd_, buffer_.data(), wanted, static_cast<off_t>(summed_));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return disk_error("reading");
      sum_.update(buffer_.data(), static_cast<size_t>(n));
      summed_ += static_cast<uint64_t>(n);
      budget -= static_cast<uint64_t>(n);
    }
    return summed_ == end;
  }

  bool is_active(size_t piece) const {
    return std::any_of(actives_.begin(), actives_.end(),
                       [piece](const Active& active) { return active.piece == piece; });
  }

  void start_transfers() {
    if (Clock::now() < not_before_) return;
    const bool only_first = state_.bytes == 0 || whole_only_ || first_piece_pending();
    const size_t most = only_first ? 1 : static_cast<size_t>(connections_);
    if (state_.pieces.empty()) state_.pieces = {{0, options_.piece_bytes, 0}};
    for (size_t i = 0; i < state_.pieces.size() && actives_.size() < most; ++i) {
      Piece& piece = state_.pieces[i];
      if (piece.whole() || is_active(i)) continue;
      if (whole_only_) {  // again from the start
        piece.done = 0;
        sum_ = {};
        summed_ = 0;
      }
      Active& active = actives_.emplace_back(this, i, piece.begin + piece.done);
      Request request;
      request.url = source_.url;
      if (!whole_only_) {
        request.range = concat(active.at, "-", piece.end - 1);
        if (!state_.etag.empty()) request.headers.push_back("If-Range: " + state_.etag);
      }
      active.id = transfers_.start(request, &active);
    }
  }

  bool first_piece_pending() const {
    return (options_.on_first_piece || options_.first_piece_only) && !first_piece_told_;
  }

  // What the end of a transfer means for the whole.
  Result<void> judge(const Finished& finished) {
    const auto found = std::find_if(actives_.begin(), actives_.end(),
                                    [&](const Active& active) { return active.id == finished.id; });
    if (found == actives_.end()) return {};
    const Active active = *found;
    actives_.erase(found);
    if (active.verdict == Verdict::kFatal) return active.error;
    if (active.verdict == Verdict::kRestart) {
      if (++restarts_ > kRestartsMax) {
        return Error{ErrorCode::kData, concat(source_.url, ": ", active.error.message,
                                              ", and again each time; try "
                                              "later")};
      }
      return start_over();
    }
    if (active.verdict == Verdict::kOtherTry) return try_again(finished, active.error.message);
    if (finished.how == Finished::How::kRefused) {
      return Error{ErrorCode::kUnavailable, finished.message};
    }
    if (finished.how != Finished::How::kWhole) return try_again(finished, finished.message);
    if (!active.is_file) return judge_status(finished);
    Piece& piece = state_.pieces[active.piece];
    if (piece.end == kUnknownEnd) {
      piece.end = piece.done;
      state_.bytes = piece.done;
    }
    if (piece.end == 0) return Error{ErrorCode::kData, source_.url + ": is empty"};
    if (piece.whole()) return {};
    const bool useful = !whole_only_ && active.at > active.from;  // the rest is asked for next
    return useful ? Result<void>() : try_again(finished, "the server ended before the end");
  }

  Result<void> judge_status(const Finished& finished) {
    switch (finished.head.status) {
      case 429:
      case 503:
        connections_ = 1;
        [[fallthrough]];
      case 408:
      case 500:
      case 502:
      case 504:
        return try_again(finished, concat("the server answers ", finished.head.status));
      default:
        return options_.explain(finished);
    }
  }

  Result<void> try_again(const Finished& finished, const std::string& why) {
    if (Clock::now() < not_before_) return {};  // several connections, one failure
    const bool gained = std::exchange(came_, false) && !whole_only_;
    failures_ = gained ? 1 : failures_ + 1;
    const bool never = !finished.reached && state_.done() == 0;  // no network: told soon
    const int wait_s = std::atoi(finished.head.header("retry-after").c_str());
    if (failures_ > (never ? std::min(options_.retries, 1) : options_.retries) ||
        wait_s > kWaitMax_s) {
      if (finished.head.status >= 400) return options_.explain(finished);
      std::string message = concat(source_.url, ": ", why);
      if (state_.done() > 0) {
        message += concat("; ", state_.done(), " bytes of ", state_.bytes,
                          " are kept, the same command continues");
      }
      return Error{ErrorCode::kUnavailable, message};
    }
    auto delay = options_.retry_delay * (1 << std::min(failures_ - 1, 6));
    delay = std::min(delay, std::chrono::milliseconds(30'000));
    if (wait_s > 0) delay = std::max(delay, std::chrono::milliseconds(1000 * wait_s));
    not_before_ = Clock::now() + delay;
    return {};
  }

  void note_state(bool now) {
    if (state_.bytes == 0 || whole_only_) return;
    if (!now && Clock::now() - noted_ < kNoteEvery) return;
    noted_ = Clock::now();
    // The note never tells of bytes that a crash could still lose. Where it cannot be written the
    // download goes on: it will only begin further back next time.
    if (fdatasync(fd_) == 0) static_cast<void>(write_part_state(state_path(path_), state_).ok());
  }

  Result<Downloaded> loop() {
    while (true) {
      if (options_.cancelled && options_.cancelled()) {
        return Error{ErrorCode::kInterrupted,
                     "interrupted; what came is kept, the same command continues"};
      }
      if (first_piece_pending() && !state_.pieces.empty() && state_.bytes > 0 &&
          state_.pieces[0].whole()) {
        first_piece_told_ = true;
        if (options_.on_first_piece) NIBBLE_TRY_VOID(options_.on_first_piece(part_path(path_)));
        if (options_.first_piece_only) {
          note_state(true);
          return Downloaded{state_.bytes, {}, state_.etag};
        }
      }
      NIBBLE_TRY(const bool summed, sum_up());
      if (options_.progress) options_.progress(state_.done(), state_.bytes);
      if (state_.whole()) {
        if (!summed) continue;
        NIBBLE_TRY(const auto done, finish());
        if (done) return *done;
        continue;
      }
      start_transfers();
      for (const Finished& finished : transfers_.poll(summed ? 100 : 0)) {
        NIBBLE_TRY_VOID(judge(finished));
      }
      note_state(false);
    }
  }

  // Nothing: its sum is wrong, and what an earlier process left may be the reason.
  Result<std::optional<Downloaded>> finish() {
    const std::string sum = std::exchange(sum_, {}).finish();
    if (!source_.sha256.empty() && sum != source_.sha256) {
      const bool again = continued_;
      NIBBLE_TRY_VOID(start_over());
      if (again) return std::optional<Downloaded>();
      return Error{ErrorCode::kData,
                   concat(source_.url, ": its SHA-256 is ", sum, ", announced was ", source_.sha256,
                          "; nothing was kept. Try again; if it stays so, something on the way "
                          "changes the file")};
    }
    if (fsync(fd_) != 0) return disk_error("writing");
    note_state(true);
    return std::optional(Downloaded{state_.bytes, sum, state_.etag});
  }

  Transfers& transfers_;
  const DownloadSource source_;
  const std::string path_;
  const DownloadOptions& options_;
  int connections_;
  int fd_ = -1;
  PartState state_;
  std::list<Active> actives_;
  Sha256 sum_;
  uint64_t summed_ = 0;
  std::vector<char> buffer_;
  bool continued_ = false;   // with bytes of an earlier process
  bool whole_only_ = false;  // the server gives no parts
  bool first_piece_told_ = false;
  bool came_ = false;  // bytes since the last failure
  int failures_ = 0;
  int restarts_ = 0;
  Clock::time_point not_before_ = Clock::now();
  Clock::time_point noted_ = Clock::now();
};

}  // namespace

std::string part_path(const std::string& path) {
  return path + ".part";
}

void discard_part(const std::string& path) {
  unlink(part_path(path).c_str());
  unlink(state_path(path).c_str());
}

Result<Downloaded> download(Transfers& transfers, const DownloadSource& source,
                            const std::string& path, const DownloadOptions& options) {
  return Download(transfers, source, path, options).run();
}

}  // namespace nibble::hub
