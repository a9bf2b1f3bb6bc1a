// Reads one HTTP/1.1 request from bytes as they come (RFC 9112). Strict where leniency has let
// requests be smuggled past proxies: a bare LF or CR, white space before a colon, folded lines,
// Content-Length beside Transfer-Encoding, two lengths or hosts, and signs in sizes are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/nibble/serve/http_message.h"

namespace nibble::cli {

struct HttpLimits {
  size_t line_bytes = 8 << 10;     // of the request line, and of each header
  size_t header_bytes = 32 << 10;  // of all of them
  size_t header_count = 100;
  size_t body_bytes = 16 << 20;
};

// Why a request was refused: the answer's status and message. The connection is closed behind it.
struct HttpRefusal {
  int status = 400;
  std::string message;
};

class HttpParser {
 public:
  explicit HttpParser(const HttpLimits& limits) : limits_(limits) {}

  enum class State { kHead, kBody, kComplete, kRefused };

  // Takes bytes from the start of `input` and returns how many; stops behind the head, so that it
  // can be judged before a body is read, and behind the request.
  size_t take(std::string_view input);

  State state() const { return state_; }
  bool begun() const { return begun_; }
  bool expects_continue() const { return expects_continue_; }
  HttpRequest& request() { return request_; }
  const HttpRefusal& refusal() const { return refusal_; }

 private:
  enum class Body { kNone, kLength, kChunkSize, kChunkData, kChunkEnd, kTrailer };

  size_t refuse(int status, std::string message);
  // Completes `line_` up to CRLF; false if there is more to come, or it was refused.
  bool take_line(std::string_view input, size_t* used, int too_long);
  // The input up to the first byte that is too many for the headers: however the bytes come, the
  // same one is refused, for the same reason.
  std::string_view within_head(std::string_view input, size_t used) const;
  void take_request_line();
  void take_header();
  void finish_head();
  bool frame_body();
  void take_chunk_size();
  size_t take_body(std::string_view input);

  HttpLimits limits_;
  State state_ = State::kHead;
  HttpRequest request_;
  HttpRefusal refusal_;
  std::string line_;
  size_t head_bytes_ = 0;
  bool begun_ = false;
  bool has_request_line_ = false;
  bool expects_continue_ = false;
  Body body_ = Body::kNone;
  uint64_t left_ = 0;  // bytes of the body, or of the chunk
};

}  // namespace nibble::cli
