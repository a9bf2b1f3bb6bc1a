// A hub on this machine: Hugging Face's API and downloads over plain sockets, with the faults that
// tests ask for; also as the proxy before such a hub. A thread for each connection; nothing is kept
// alive.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/nibble/hub/model_name.h"
#include "tools/nibble/hub/sha256.h"

namespace nibble::test {

// What a client asked.
struct Ask {
  std::string path;                            // with the query
  std::map<std::string, std::string> headers;  // names in lower case
  int number = 0;                              // of those for the same path, from 1
  std::string proxied = {};  // "http://host:port" that a proxy is to ask; empty: asked itself
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

// How an answer differs from a right one.
struct Fault {
  int status = 0;                        // instead of 200 and 206
  std::string more_headers = {};         // "Retry-After: 1\r\n"
  std::optional<std::string> body = {};  // instead of the file or the list
  std::string content_type = "application/octet-stream";
  std::optional<size_t> cut_after = {};  // bytes of the body, then the connection ends
  std::optional<std::string> etag = {};
  std::optional<std::string> content_range = {};
  std::optional<std::string> content_length = {};  // "": none
  bool no_ranges = false;                          // all of the file for whatever part
  int wait_ms = 0;                                 // before the body
  int chunk_ms = 0;                                // before each 64 KiB of it
};

class FakeHub {
 public:
  FakeHub() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 64) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      return;
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~FakeHub() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    for (std::thread& thread : connections_) thread.join();
    close(listener_);
  }
  FakeHub(const FakeHub&) = delete;
  FakeHub& operator=(const FakeHub&) = delete;

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }

  // What it has; to be changed while nobody asks.
  std::map<std::string, std::map<std::string, std::string>> repositories;
  std::map<std::string, std::string> files;  // others, by path
  std::map<std::string, std::string> sums;   // told of a file instead of its true one
  std::string siblings;                      // more of a repository's files, as JSON: ",{...}"
  std::string redirect_to;                   // files of repositories are at this address
  std::function<std::optional<Fault>(const Ask&)> fault;

  std::vector<Ask> asks() {
    const std::lock_guard lock(mutex_);
    return asks_;
  }
  // Those for paths with `text` in them.
  std::vector<Ask> asks(const std::string& text) {
    std::vector<Ask> some;
    for (Ask& ask : asks()) {
      if (ask.path.find(text) != std::string::npos) some.push_back(ask);
    }
    return some;
  }
  int most_at_once() const { return most_; }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd from = {listener_, POLLIN, 0};
      if (poll(&from, 1, 20) <= 0) continue;
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd >= 0) connections_.emplace_back([this, fd] { serve(fd); });
    }
  }

  static std::optional<Ask> read_ask(int fd) {
    std::string in;
    while (in.find("\r\n\r\n") == std::string::npos) {
      char bytes[4096];
      pollfd from = {fd, POLLIN, 0};
      if (poll(&from, 1, 5000) <= 0) return {};
      const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
      if (n <= 0) return {};
      in.append(bytes, static_cast<size_t>(n));
    }
    Ask ask;
    const size_t begin = in.find(' ') + 1;
    ask.path = in.substr(begin, in.find(' ', begin) - begin);
    if (ask.path.starts_with("http://")) {  // as a proxy is asked
      const size_t slash = std::min(ask.path.find('/', 7), ask.path.size());
      ask.proxied = ask.path.substr(0, slash);
      ask.path.erase(0, slash);
    }
    for (size_t at = in.find("\r\n") + 2; in.compare(at, 2, "\r\n") != 0;
         at = in.find("\r\n", at) + 2) {
      const size_t colon = in.find(": ", at);
      ask.headers[hub::lower(in.substr(at, colon - at))] =
          in.substr(colon + 2, in.find("\r\n", at) - colon - 2);
    }
    return ask;
  }

  static bool send_all(int fd, const char* bytes, size_t count) {
    while (count > 0) {
      const ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes += n;
      count -= static_cast<size_t>(n);
    }
    return true;
  }

  // In slices, so that a test's end need not wait for it.
  void wait(int ms) const {
    for (int waited = 0; waited < ms && !stopping_; waited += 5) usleep(5000);
  }

  static std::string sum_of(const std::string& text) {
    hub::Sha256 sum;
    sum.update(text.data(), text.size());
    return sum.finish();
  }

  std::string list(const std::string& repository) const {
    std::string json = R"({"sha":"c0ffee","siblings":[{"rfilename":"README.md"})";
    for (const auto& [name, content] : repositories.at(repository)) {
      const auto told = sums.find(name);
      const std::string sum = told != sums.end() ? told->second : sum_of(content);
      const std::string size = std::to_string(content.size());
      json += R"(,{"rfilename":")" + name + R"(","size":)" + size;
      if (!sum.empty()) json += R"(,"lfs":{"sha256":")" + sum + R"(","size":)" + size + "}";
      json += "}";
    }
    return json + siblings + "]}";
  }

  void serve(int fd) {
    if (auto ask = read_ask(fd)) {
      {
        const std::lock_guard lock(mutex_);
        ask->number = 1;
        for (const Ask& other : asks_) ask->number += other.path == ask->path ? 1 : 0;
        asks_.push_back(*ask);
        most_ = std::max<int>(most_, ++at_once_);
      }
      answer(fd, *ask);
      --at_once_;
    }
    shutdown(fd, SHUT_WR);
    close(fd);
  }

  void answer(int fd, const Ask& ask) {
    const std::string path = ask.path.substr(0, ask.path.find('?'));
    const std::string api = "/api/models/";
    Fault how;
    if (fault) how = fault(ask).value_or(Fault{});
    if (path.starts_with(api) && repositories.count(path.substr(api.size())) > 0) {
      if (!how.body) how.body = list(path.substr(api.size()));
      return respond(fd, ask, how, {});
    }
    std::optional<std::string> content;
    for (const auto& [repository, of] : repositories) {
      const std::string folder = "/" + repository + "/resolve/c0ffee/";
      if (!path.starts_with(folder) || of.count(path.substr(folder.size())) == 0) continue;
      content = of.at(path.substr(folder.size()));
      if (redirect_to.empty() || how.status != 0) continue;
      how.status = 302;
      how.more_headers = "Location: " + redirect_to + path + "\r\n";
    }
    if (const auto found = files.find(path); found != files.end()) content = found->second;
    if (!content && how.status == 0) how.status = 404;
    respond(fd, ask, how, content);
  }

  void respond(int fd, const Ask& ask, const Fault& how, const std::optional<std::string>& file) {
    const bool is_file = file && !how.body && how.status == 0;
    std::string body = is_file ? *file : how.body.value_or("");
    const std::string etag =
        how.etag.value_or("\"" + std::to_string(std::hash<std::string>()(body)) + "\"");
    std::string range = ask.header("range");
    const std::string if_range = ask.header("if-range");
    if (how.no_ranges || !is_file || (!if_range.empty() && if_range != etag)) range.clear();
    int status = how.status != 0 ? how.status : 200;
    std::string headers = "Connection: close\r\nContent-Type: " + how.content_type + "\r\n";
    if (is_file && !etag.empty()) headers += "ETag: " + etag + "\r\n";
    if (range.starts_with("bytes=")) {
      const size_t all = body.size();
      const size_t begin = std::stoull(range.substr(6));
      const size_t last = std::min<size_t>(std::stoull(range.substr(range.find('-') + 1)), all - 1);
      status = 206;
      body = body.substr(begin, last - begin + 1);
      const std::string told =
          "bytes " + std::to_string(begin) + "-" + std::to_string(last) + "/" + std::to_string(all);
      headers += "Content-Range: " + how.content_range.value_or(told) + "\r\n";
    }
    const std::string length = how.content_length.value_or(std::to_string(body.size()));
    if (!length.empty()) headers += "Content-Length: " + length + "\r\n";
    const std::string head =
        "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers + how.more_headers + "\r\n";
    if (!send_all(fd, head.data(), head.size())) return;
    wait(how.wait_ms);
    const size_t end = std::min(body.size(), how.cut_after.value_or(body.size()));
    for (size_t at = 0; at < end; at += 65536) {
      wait(how.chunk_ms);
      if (stopping_ || !send_all(fd, body.data() + at, std::min<size_t>(65536, end - at))) return;
    }
  }

  int listener_;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> at_once_{0};
  std::atomic<int> most_{0};
  std::mutex mutex_;
  std::vector<Ask> asks_;
  std::thread thread_;
  std::vector<std::thread> connections_;
};

}  // namespace nibble::test
