// One request and the way to answer it, from any thread: at once, or piece by piece. What is
// written waits here until the loop sends it; a client that does not read fills it, and is dropped.
// Read next: http_server.h.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "tools/nibble/serve/http_message.h"

namespace nibble::cli {

// What an answer took, for logs.
struct AnswerRecord {
  std::string model;          // empty: it was not about one
  int64_t prompt_tokens = 0;  // with cached ones
  int64_t cached_tokens = 0;
  int64_t answer_tokens = 0;
  int64_t decode_tokens = 0;  // without each answer's first
  double decode_s = 0;        // the longest of the request's answers
  double queue_s = 0;         // from the request on until the first of them was begun
  double first_token_s = 0;   // from the request on; 0: there was none
};

class Exchange {
 public:
  using Clock = std::chrono::steady_clock;

  // `wake` tells the loop that there is something to send; thread-safe. `on_end` (or null) is
  // called when nobody has anything to do with the exchange any more.
  Exchange(HttpRequest request, size_t pending_bytes_max, std::function<void()> wake,
           std::function<void(const Exchange&)> on_end = nullptr)
      : request_(std::move(request)),
        pending_max_(pending_bytes_max),
        wake_(std::move(wake)),
        on_end_(std::move(on_end)) {}
  ~Exchange() {
    if (on_end_) on_end_(*this);
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const { return request_; }

  // The whole answer. To be called once, and not with begin().
  void send(const HttpResponse& response);

  // An answer whose length is not known: begin, then write, then finish. write() is false when
  // nobody is there to read it any more.
  void begin(int status, std::string_view content_type);
  bool write(std::string_view data);
  void finish();

  bool begun() const { return begun_; }
  // The client has gone, or was dropped.
  bool gone() const { return gone_; }
  int status() const { return status_; }
  // All of the answer was given to be sent.
  bool finished() const { return finished_; }
  // When the request was there, and how long ago that is.
  Clock::time_point start() const { return start_; }
  double age_s() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  // To be written by whoever answers, one thread after the other.
  AnswerRecord& record() { return record_; }
  const AnswerRecord& record() const { return record_; }

  // For the loop. What is to be sent now; `finished`: and nothing after it.
  std::string take_pending(bool* finished);
  void set_gone() { gone_ = true; }
  bool keeps_alive() const { return keep_alive_; }
  // Before the answer begins: the connection will be closed behind it.
  void set_close() { keep_alive_ = false; }

 private:
  std::string head(int status, std::string_view content_type, const HttpHeaders& more) const;
  void push(std::string_view data, bool finished);

  const HttpRequest request_;
  const size_t pending_max_;
  const std::function<void()> wake_;
  const std::function<void(const Exchange&)> on_end_;
  const Clock::time_point start_ = Clock::now();
  AnswerRecord record_;
  std::mutex mutex_;
  std::string pending_;
  std::atomic<bool> finished_{false};
  std::atomic<bool> gone_{false};
  std::atomic<bool> keep_alive_{true};
  std::atomic<bool> begun_{false};
  std::atomic<int> status_{0};
};

}  // namespace nibble::cli
