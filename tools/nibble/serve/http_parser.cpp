#include "tools/nibble/serve/http_parser.h"

#include <algorithm>
#include <utility>

namespace nibble::cli {
namespace {

bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_visible(char c) {
  return c > ' ' && c != '\x7f';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Digits alone, of a base up to 16, and not more than fit; false otherwise.
bool parse_digits(std::string_view text, unsigned base, uint64_t* out) {
  if (text.empty() || text.size() > 15) return false;
  *out = 0;
  for (const char c : text) {
    unsigned digit = 99;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') digit = static_cast<unsigned>(c - 'A' + 10);
    if (digit >= base) return false;
    *out = *out * base + digit;
  }
  return true;
}

}  // namespace

std::string_view http_reason(int status) {
  static constexpr std::pair<int, std::string_view> kReasons[] = {
      {100, "Continue"},
      {200, "OK"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (const auto& [code, text] : kReasons) {
    if (code == status) return text;
  }
  return "Status";
}

size_t HttpParser::refuse(int status, std::string message) {
  state_ = State::kRefused;
  refusal_ = {status, std::move(message)};
  return 0;
}

bool HttpParser::take_line(std::string_view input, size_t* used, int too_long) {
  while (*used < input.size()) {
    const char c = input[(*used)++];
    if (c == '\n') {
      if (line_.empty() || line_.back() != '\r') {
        refuse(400, "a line ends in LF without CR");
        return false;
      }
      line_.pop_back();
      return true;
    }
    if (!line_.empty() && line_.back() == '\r') {
      refuse(400, "a CR inside a line");
      return false;
    }
    if (line_.size() >= limits_.line_bytes) {
      refuse(too_long, "a line of the request is longer than " +
                           std::to_string(limits_.line_bytes) + " bytes");
      return false;
    }
    line_ += c;
  }
  return false;
}

std::string_view HttpParser::within_head(std::string_view input, size_t used) const {
  return input.substr(0, used + (limits_.header_bytes - head_bytes_) + 1);
}

size_t HttpParser::take(std::string_view input) {
  if (state_ == State::kBody) return take_body(input);
  size_t used = 0;
  while (state_ == State::kHead && used < input.size()) {
    const size_t before = used;
    const bool whole = take_line(within_head(input, used), &used, has_request_line_ ? 431 : 414);
    head_bytes_ += used - before;
    if (state_ == State::kRefused) break;
    if (head_bytes_ > limits_.header_bytes) {
      refuse(431, "the headers are longer than " + std::to_string(limits_.header_bytes) + " bytes");
      break;
    }
    begun_ |= !line_.empty() && line_ != "\r";
    if (!whole) continue;
    if (!has_request_line_) {
      // An empty line before a request is allowed for old clients' sake.
      if (!line_.empty()) take_request_line();
    } else if (line_.empty()) {
      finish_head();
    } else {
      take_header();
    }
    line_.clear();
  }
  return used;
}

void HttpParser::take_request_line() {
  const size_t first = line_.find(' ');
  const size_t last = line_.rfind(' ');
  const std::string_view line = line_;
  if (first == std::string::npos || first == last) {
    refuse(400, "the request line is not METHOD TARGET VERSION");
    return;
  }
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(line.substr(0, first)) || !target.starts_with('/') ||
      !std::all_of(target.begin(), target.end(), is_visible)) {
    refuse(400, "the request line is not METHOD /PATH VERSION");
    return;
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    refuse(version.starts_with("HTTP/") ? 505 : 400, "this server speaks HTTP/1.1");
    return;
  }
  has_request_line_ = true;
  request_.method = line.substr(0, first);
  request_.minor_version = version.back() - '0';
  const size_t question = target.find('?');
  request_.path = target.substr(0, question);
  if (question != std::string_view::npos) request_.query = target.substr(question + 1);
}

void HttpParser::take_header() {
  const std::string_view line = line_;
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    refuse(400, "a header is not NAME: VALUE");
    return;
  }
  const std::string_view value = trim(line.substr(colon + 1));
  const bool clean = std::all_of(value.begin(), value.end(), [](char c) {
    return is_visible(c) || c == ' ' || c == '\t' || static_cast<unsigned char>(c) >= 0x80;
  });
  if (!clean) {
    refuse(400, "a header holds a control character");
    return;
  }
  if (request_.headers.size() >= limits_.header_count) {
    refuse(431, "more than " + std::to_string(limits_.header_count) + " headers");
    return;
  }
  request_.headers.emplace_back(lower(line.substr(0, colon)), value);
}

void HttpParser::finish_head() {
  const auto count = [&](std::string_view name) {
    return std::count_if(request_.headers.begin(), request_.headers.end(),
                         [&](const auto& header) { return header.first == name; });
  };
  if (count("host") > 1 || (request_.minor_version == 1 && count("host") == 0)) {
    refuse(400, "a request has one Host header");
    return;
  }
  for (const char* once : {"content-length", "transfer-encoding", "origin", "content-type"}) {
    if (count(once) > 1) {
      refuse(400, std::string("more than one header ") + once);
      return;
    }
  }
  const std::string* connection = request_.header("connection");
  const std::string wish = connection != nullptr ? lower(*connection) : "";
  request_.keep_alive =
      request_.minor_version == 1 ? wish.find("close") == std::string::npos : wish == "keep-alive";
  if (const std::string* expect = request_.header("expect")) {
    expects_continue_ = lower(*expect) == "100-continue";
    if (!expects_continue_) {
      refuse(417, "the only expectation known is 100-continue");
      return;
    }
  }
  if (!frame_body()) return;
  state_ = body_ == Body::kNone ? State::kComplete : State::kBody;
}

bool HttpParser::frame_body() {
  const std::string* length = request_.header("content-length");
  const std::string* encoding = request_.header("transfer-encoding");
  if (encoding != nullptr) {
    if (length != nullptr || request_.minor_version == 0) {
      refuse(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0");
      return false;
    }
    if (lower(*encoding) != "chunked") {
      refuse(501, "the only Transfer-Encoding known is chunked");
      return false;
    }
    body_ = Body::kChunkSize;
    return true;
  }
  if (length == nullptr) return true;
  if (!parse_digits(*length, 10, &left_)) {
    refuse(400, "Content-Length is not a number of bytes");
    return false;
  }
  if (left_ > limits_.body_bytes) {
    refuse(413, "the body has " + *length + " bytes, at most " +
                    std::to_string(limits_.body_bytes) + " are taken");
    return false;
  }
  if (left_ > 0) body_ = Body::kLength;
  return true;
}

void HttpParser::take_chunk_size() {
  const std::string_view line = line_;
  if (!parse_digits(trim(line.substr(0, line.find(';'))), 16, &left_)) {
    refuse(400, "a chunk's size is not a hexadecimal number");
    return;
  }
  if (left_ > limits_.body_bytes || request_.body.size() + left_ > limits_.body_bytes) {
    refuse(413, "the body has more than " + std::to_string(limits_.body_bytes) + " bytes");
    return;
  }
  body_ = left_ == 0 ? Body::kTrailer : Body::kChunkData;
}

size_t HttpParser::take_body(std::string_view input) {
  size_t used = 0;
  while (state_ == State::kBody && used < input.size()) {
    if (body_ == Body::kLength || body_ == Body::kChunkData) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - used));
      request_.body.append(input.substr(used, count));
      used += count;
      left_ -= count;
      if (left_ > 0) break;
      if (body_ == Body::kLength) {
        state_ = State::kComplete;
      } else {
        body_ = Body::kChunkEnd;
      }
      continue;
    }
    const size_t before = used;
    const bool trailer = body_ == Body::kTrailer;
    const bool whole = take_line(trailer ? within_head(input, used) : input, &used, 400);
    if (trailer) {
      head_bytes_ += used - before;
      if (head_bytes_ > limits_.header_bytes) refuse(431, "the trailer is too long");
    }
    if (!whole || state_ == State::kRefused) continue;
    if (body_ == Body::kChunkSize) {
      take_chunk_size();
    } else if (body_ == Body::kChunkEnd) {
      if (!line_.empty()) refuse(400, "a chunk does not end where its size says");
      body_ = Body::kChunkSize;
    } else if (line_.empty()) {
      state_ = State::kComplete;
    }
    line_.clear();
  }
  return used;
}

}  // namespace nibble::cli
