#include "tools/nibble/serve/exchange.h"

#include <cstdio>

namespace nibble::cli {

std::string Exchange::head(int status, std::string_view content_type,
                           const HttpHeaders& more) const {
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(http_reason(status)).append("\r\nContent-Type: ").append(content_type);
  out += "\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n";
  if (!request_.id.empty()) out.append("X-Request-Id: ").append(request_.id).append("\r\n");
  for (const auto& [name, value] : more) out.append(name).append(": ").append(value).append("\r\n");
  out +=
      keep_alive_ && request_.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  return out;
}

void Exchange::send(const HttpResponse& response) {
  status_ = response.status;
  begun_ = true;
  std::string out = head(response.status, response.content_type, response.headers);
  out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n\r\n";
  if (request_.method != "HEAD") out += response.body;
  push(out, true);
}

void Exchange::begin(int status, std::string_view content_type) {
  status_ = status;
  begun_ = true;
  if (request_.minor_version == 0)
    set_close();  // no chunks there: the end of the stream is the end
  std::string out = head(status, content_type, {});
  if (request_.minor_version == 1) out += "Transfer-Encoding: chunked\r\n";
  push(out + "\r\n", false);
}

bool Exchange::write(std::string_view data) {
  if (data.empty() || gone_) return !gone_;
  if (request_.minor_version == 0) {
    push(data, false);
  } else {
    char size[24];
    const int digits = std::snprintf(size, sizeof(size), "%zx\r\n", data.size());
    std::string chunk(size, static_cast<size_t>(digits));
    chunk.append(data).append("\r\n");
    push(chunk, false);
  }
  return !gone_;
}

void Exchange::finish() {
  push(request_.minor_version == 0 ? "" : "0\r\n\r\n", true);
}

void Exchange::push(std::string_view data, bool finished) {
  {
    const std::lock_guard lock(mutex_);
    if (gone_) return;
    // A whole answer may be longer than the limit, a stream's backlog may not.
    if (!finished && pending_.size() + data.size() > pending_max_) {
      gone_ = true;
    } else {
      pending_ += data;
      finished_ = finished;
    }
  }
  wake_();
}

std::string Exchange::take_pending(bool* finished) {
  const std::lock_guard lock(mutex_);
  *finished = finished_;
  return std::exchange(pending_, {});
}

}  // namespace nibble::cli
