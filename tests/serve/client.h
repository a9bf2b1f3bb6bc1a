// An HTTP client that says exactly the bytes it is given, and a `nibble serve` to say them to.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/cli/child.h"

namespace nibble::test {

using Json = nlohmann::json;

struct Reply {
  int status = 0;
  std::string head;
  std::string body;  // chunks put together
  bool closed = false;
  bool has(const std::string& text) const { return head.find(text) != std::string::npos; }
  Json json() const { return Json::parse(body); }
};

// A connection to this machine.
class Client {
 public:
  explicit Client(int port, int receive_bytes = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_bytes > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    }
    if (port != 0) connect_to(port);
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void connect_to(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  bool send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }

  // Waits for more; false at the end, or when nothing comes.
  bool receive(int patience_ms = kPatienceMs) {
    pollfd from = {fd_, POLLIN, 0};
    if (poll(&from, 1, patience_ms) <= 0) return false;
    char bytes[16384];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    in_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool ended() const { return ended_; }
  const std::string& received() const { return in_; }

  // Waits until `text` is in what came and was not yet taken as a reply.
  bool expect(const std::string& text, int patience_ms = kPatienceMs) {
    while (in_.find(text) == std::string::npos) {
      if (!receive(patience_ms)) return false;
    }
    return true;
  }

  // The next whole answer. Status 0: there is none.
  Reply reply(int patience_ms = kPatienceMs, bool has_body = true) {
    Reply reply;
    if (!expect("\r\n\r\n", patience_ms)) {
      reply.closed = ended_;
      return reply;
    }
    const size_t end = in_.find("\r\n\r\n") + 4;
    reply.head = in_.substr(0, end);
    reply.status = std::atoi(reply.head.c_str() + 9);
    in_.erase(0, end);
    if (reply.has("Transfer-Encoding: chunked")) {
      while (true) {
        if (!expect("\r\n", patience_ms)) break;
        const size_t size = std::stoul(in_, nullptr, 16);
        const size_t begin = in_.find("\r\n") + 2;
        while (in_.size() < begin + size + 2 && receive(patience_ms)) {
        }
        reply.body += in_.substr(begin, size);
        in_.erase(0, begin + size + 2);
        if (size == 0) break;
      }
    } else if (const size_t at = reply.head.find("Content-Length: ");
               at != std::string::npos && has_body) {
      const size_t size = std::stoul(reply.head.substr(at + 16));
      while (in_.size() < size && receive(patience_ms)) {
      }
      reply.body = in_.substr(0, size);
      in_.erase(0, size);
    }
    if (reply.has("Connection: close")) {
      while (receive(2000)) {
      }
      reply.closed = ended_;
    }
    return reply;
  }

 private:
  int fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string in_;
};

inline std::string get(const std::string& path, const std::string& headers = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

inline std::string post(const std::string& path, const std::string& body,
                        const std::string& headers = "Content-Type: application/json\r\n") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// The program, serving at a port of its own.
class Server {
 public:
  explicit Server(std::vector<std::string> more = {}, Environment environment = {},
                  const std::string& model = kModel) {
    std::vector<std::string> arguments = {"serve", model, "--port", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    environment.try_emplace("HOME", home_.path());
    int err[2];
    if (pipe(err) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      dup2(err[1], 2);
      ::close(err[0]);
      ::close(err[1]);
      become_program(arguments, environment, {});
    }
    ::close(err[1]);
    err_ = err[0];
    constexpr const char* kReady = "serving http://";
    while (said_.find(kReady) == std::string::npos ||
           said_.find('\n', said_.find(kReady)) == std::string::npos) {
      if (!read_some(kPatienceMs)) break;
    }
    const size_t at = said_.find(kReady);
    if (at != std::string::npos) port_ = std::atoi(said_.c_str() + said_.find(':', at + 13) + 1);
  }
  ~Server() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    if (err_ >= 0) ::close(err_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const { return port_; }  // 0: it did not start
  pid_t child() const { return child_; }
  const std::string& said() const { return said_; }

  Reply ask(const std::string& bytes, bool has_body = true) const {
    Client client(port_);
    client.send(bytes);
    return client.reply(kPatienceMs, has_body);
  }
  Reply get(const std::string& path) const { return ask(test::get(path)); }
  Reply post(const std::string& path, const Json& body) const {
    return ask(test::post(path, body.dump()));
  }

  // A number of /metrics.
  double metric(const std::string& name) const {
    const std::string text = "\n" + get("/metrics").body;
    const size_t at = text.find("\n" + name);
    if (at == std::string::npos) return -1;
    return std::atof(text.c_str() + text.find(' ', at));
  }
  bool wait_for_metric(const std::string& name, double value) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (std::chrono::steady_clock::now() < end) {
      if (metric(name) == value) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  int stop(int signal = SIGTERM) {
    kill(child_, signal);
    return wait();
  }
  int wait() {
    while (read_some(kPatienceMs)) {
    }
    const int code = wait_for_exit(child_);
    child_ = -1;
    return code;
  }

 private:
  bool read_some(int ms) {
    pollfd from = {err_, POLLIN, 0};
    if (poll(&from, 1, ms) <= 0) return false;
    char bytes[4096];
    const ssize_t n = read(err_, bytes, sizeof(bytes));
    if (n <= 0) return false;
    said_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  Folder home_;
  pid_t child_ = -1;
  int err_ = -1;
  int port_ = 0;
  std::string said_;
};

// The JSON objects of a stream of server-sent events; the last must be [DONE].
inline std::vector<Json> events(const std::string& body) {
  std::vector<Json> out;
  bool done = false;
  size_t at = 0;
  while (true) {
    const size_t end = body.find("\n\n", at);
    if (end == std::string::npos) break;
    const std::string event = body.substr(at, end - at);
    at = end + 2;
    EXPECT_FALSE(done) << "an event after the end";
    EXPECT_EQ(event.find("data: "), 0u) << event;
    done = event == "data: [DONE]";
    if (!done) out.push_back(Json::parse(event.substr(6)));
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(at, body.size());
  return out;
}

}  // namespace nibble::test
