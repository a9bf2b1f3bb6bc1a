#include "tools/nibble/hub/transfer.h"

#include <algorithm>

#include "runtime/file/concat.h"
#include "tools/nibble/hub/model_name.h"

#ifdef NIBBLE_CURL
#include <cstdlib>
#include <list>

#include "tools/nibble/hub/curl_library.h"
#endif

namespace nibble::hub {

std::string origin_of(const std::string& url) {
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string::npos) return {};
  const std::string scheme = lower(url.substr(0, scheme_end));
  if (scheme != "http" && scheme != "https") return {};
  std::string host = lower(url.substr(scheme_end + 3));
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.empty() ||
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != std::string::npos) {
    return {};
  }
  const size_t colon = host.rfind(':');
  const bool has_port = colon != std::string::npos && host.find(']', colon) == std::string::npos;
  if (!has_port) host += scheme == "https" ? ":443" : ":80";
  return scheme + "://" + host;
}

#ifdef NIBBLE_CURL
namespace {

constexpr int kRedirectsMax = 8;
constexpr size_t kHeadersMax = 200;

bool is_private_way(const std::string& origin) {
  return origin.starts_with("https://") || origin.starts_with("http://127.0.0.1:") ||
         origin.starts_with("http://localhost:") || origin.starts_with("http://[::1]:");
}

class CurlTransfers final : public Transfers {
 public:
  CurlTransfers(const CurlLibrary& curl, const TransferOptions& options)
      : curl_(curl), options_(options), multi_(curl.multi_init()) {
    // As many connections as there are transfers, also where one could carry all of them.
    curl_.multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    if (const char* file = std::getenv("SSL_CERT_FILE")) authorities_ = file;
  }
  ~CurlTransfers() override {
    CurlTransfers::stop_all();
    curl_.multi_cleanup(multi_);
  }
  CurlTransfers(const CurlTransfers&) = delete;
  CurlTransfers& operator=(const CurlTransfers&) = delete;

  int start(const Request& request, Receiver* receiver) override {
    Transfer& transfer = transfers_.emplace_back();
    transfer.id = ++last_id_;
    transfer.request = request;
    transfer.receiver = receiver;
    transfer.url = request.url;
    begin(&transfer);  // which may end it
    return last_id_;
  }

  void stop_all() override {
    for (Transfer& transfer : transfers_) release(&transfer);
    transfers_.clear();
    failed_.clear();
  }

  std::vector<Finished> poll(int ms) override {
    std::vector<Finished> finished = std::move(failed_);
    failed_.clear();
    int running = 0;
    curl_.multi_perform(multi_, &running);
    collect(&finished);
    if (finished.empty()) {
      curl_.multi_poll(multi_, nullptr, 0, ms, nullptr);
      curl_.multi_perform(multi_, &running);
      collect(&finished);
    }
    return finished;
  }

 private:
  struct Transfer {
    int id = 0;
    Request request;
    Receiver* receiver = nullptr;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    std::string url;
    int redirects = 0;
    Head head;
    std::map<std::string, std::string> hub_headers;
    bool begun = false;    // the receiver has the head
    bool stopped = false;  // and wanted no more
    char error[CURL_ERROR_SIZE] = {};
  };

  static bool is_redirect(const Head& head) {
    return head.status >= 300 && head.status < 400 && head.status != 304 &&
           !head.header("location").empty();
  }

  void begin(Transfer* transfer) {
    transfer->head = {};
    transfer->error[0] = '\0';
    transfer->easy = curl_.easy_init();
    CURL* easy = transfer->easy;
    const auto set = [this, easy](CURLoption option, auto value) {
      curl_.easy_setopt(easy, option, value);
    };
    set(CURLOPT_URL, transfer->url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "nibble");
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(std::min(options_.stall_s, 15)));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_s));
    set(CURLOPT_ERRORBUFFER, transfer->error);
    if (!authorities_.empty()) set(CURLOPT_CAINFO, authorities_.c_str());
    if (!transfer->request.range.empty()) set(CURLOPT_RANGE, transfer->request.range.c_str());
    const std::string origin = origin_of(transfer->url);
    for (const std::string& header : transfer->request.headers) {
      transfer->headers = curl_.slist_append(transfer->headers, header.c_str());
    }
    if (!options_.token.empty() && origin == options_.token_origin && is_private_way(origin)) {
      transfer->headers = curl_.slist_append(transfer->headers,
                                             ("Authorization: Bearer " + options_.token).c_str());
    }
    set(CURLOPT_HTTPHEADER, transfer->headers);
    set(CURLOPT_HEADERFUNCTION, &CurlTransfers::on_header);
    set(CURLOPT_HEADERDATA, transfer);
    set(CURLOPT_WRITEFUNCTION, &CurlTransfers::on_data);
    set(CURLOPT_WRITEDATA, transfer);
    set(CURLOPT_PRIVATE, transfer);
    if (origin.empty()) {
      fail(transfer, Finished::How::kRefused, transfer->url + " is no address of the web");
    } else {
      curl_.multi_add_handle(multi_, easy);
    }
  }

  void release(Transfer* transfer) {
    if (transfer->easy == nullptr) return;
    curl_.multi_remove_handle(multi_, transfer->easy);
    curl_.easy_cleanup(transfer->easy);
    curl_.slist_free_all(transfer->headers);
    transfer->easy = nullptr;
    transfer->headers = nullptr;
  }

  static size_t on_header(char* bytes, size_t, size_t count, void* of) {
    auto* transfer = static_cast<Transfer*>(of);
    const std::string line(bytes, count);
    if (line.starts_with("HTTP/")) {
      transfer->head = {};
      const size_t space = line.find(' ');
      if (space != std::string::npos) transfer->head.status = std::atoi(line.c_str() + space);
      return count;
    }
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return count;
    if (transfer->head.headers.size() >= kHeadersMax) return 0;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    const size_t last = line.find_last_not_of(" \t\r\n");
    const bool empty = first == std::string::npos || last < first;
    transfer->head.headers[lower(line.substr(0, colon))] =
        empty ? std::string() : line.substr(first, last - first + 1);
    return count;
  }

  static bool give_head(Transfer* transfer) {
    if (!transfer->begun) {
      transfer->begun = true;
      transfer->stopped = !transfer->receiver->begin(transfer->head);
    }
    return !transfer->stopped;
  }

  static size_t on_data(char* bytes, size_t, size_t count, void* of) {
    auto* transfer = static_cast<Transfer*>(of);
    if (is_redirect(transfer->head)) return count;
    if (!give_head(transfer)) return 0;
    transfer->stopped = !transfer->receiver->data(bytes, count);
    return transfer->stopped ? 0 : count;
  }

  void collect(std::vector<Finished>* finished) {
    int left = 0;
    while (CURLMsg* message = curl_.multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      curl_.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      if (code == CURLE_OK && is_redirect(transfer->head)) {
        redirect(transfer);
      } else {
        end(transfer, code);
      }
    }
    for (Finished& failed : failed_) finished->push_back(std::move(failed));
    failed_.clear();
  }

  void redirect(Transfer* transfer) {
    char* address = nullptr;
    curl_.easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &address);
    const std::string next = address == nullptr ? "" : address;
    for (const auto& [name, value] : transfer->head.headers) {
      if (name.starts_with("x-")) transfer->hub_headers[name] = value;
    }
    if (++transfer->redirects > kRedirectsMax) {
      return fail(transfer, Finished::How::kRefused,
                  concat(transfer->request.url, ": leads on more than ", kRedirectsMax, " times"));
    }
    if (origin_of(next).empty() ||
        (transfer->url.starts_with("https:") && !next.starts_with("https:"))) {
      return fail(transfer, Finished::How::kRefused,
                  concat(transfer->url, ": leads to ", nibble::quoted(next),
                         ", which is not followed: no https address"));
    }
    release(transfer);
    transfer->url = next;
    begin(transfer);
  }

  void end(Transfer* transfer, CURLcode code) {
    if (code == CURLE_OK) {
      give_head(transfer);
      return fail(transfer, transfer->stopped ? Finished::How::kStopped : Finished::How::kWhole,
                  {});
    }
    const bool refused = code == CURLE_PEER_FAILED_VERIFICATION ||
                         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_URL_MALFORMAT ||
                         code == CURLE_UNSUPPORTED_PROTOCOL;
    std::string why = transfer->error[0] != '\0' ? transfer->error : curl_.easy_strerror(code);
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
      why += "; if your own proxy or hub signs it, name its certificates in SSL_CERT_FILE";
    }
    if (code == CURLE_OPERATION_TIMEDOUT && transfer->head.status != 0) {
      why = concat("nothing came for ", options_.stall_s, " s");
    }
    fail(transfer,
         transfer->stopped ? Finished::How::kStopped
                           : (refused ? Finished::How::kRefused : Finished::How::kCut),
         concat(origin_of(transfer->url), ": ", why));
  }

  // Moves it to those that have ended.
  void fail(Transfer* transfer, Finished::How how, std::string message) {
    Finished finished;
    finished.id = transfer->id;
    finished.how = how;
    finished.reached = transfer->head.status != 0;
    finished.head = std::move(transfer->head);
    finished.hub_headers = std::move(transfer->hub_headers);
    finished.url = transfer->url;
    finished.message = std::move(message);
    failed_.push_back(std::move(finished));
    release(transfer);
    transfers_.remove_if([transfer](const Transfer& other) { return &other == transfer; });
  }

  const CurlLibrary& curl_;
  const TransferOptions options_;
  CURLM* multi_;
  std::string authorities_;
  std::list<Transfer> transfers_;
  std::vector<Finished> failed_;
  int last_id_ = 0;
};

}  // namespace

Result<std::unique_ptr<Transfers>> Transfers::create(const TransferOptions& options) {
  NIBBLE_TRY(const CurlLibrary* curl, CurlLibrary::load());
  return std::unique_ptr<Transfers>(std::make_unique<CurlTransfers>(*curl, options));
}

#else

Result<std::unique_ptr<Transfers>> Transfers::create(const TransferOptions&) {
  return Error{ErrorCode::kUnavailable,
               "this program was built without libcurl and cannot download"};
}

#endif

}  // namespace nibble::hub
