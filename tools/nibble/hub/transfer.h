// HTTP GETs, several at once, by libcurl, which is loaded when the first is made.
//
// Redirects are followed here, so that one place decides what another host gets to see: the token
// goes to its own origin alone, an https address never leads to an http one. Proxies are those of
// the environment (https_proxy, no_proxy). One thread. Read next: download.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::hub {

struct TransferOptions {
  std::string token;         // sent to `token_origin`, and only encrypted or to this machine
  std::string token_origin;  // origin_of() an address
  int stall_s = 30;          // a connection that is silent for so long has failed
};

// An answer's status and headers, names in lower case.
struct Head {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

// Who takes an answer that is no redirect. False ends the transfer.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual bool begin(const Head& head) = 0;  // before the data; also when there are none
  virtual bool data(const char* bytes, size_t count) = 0;
};

struct Request {
  std::string url;
  std::vector<std::string> headers;  // "If-Range: \"x\""
  std::string range;                 // "0-99"; empty: all
};

struct Finished {
  enum class How {
    kWhole,    // as the server meant it
    kStopped,  // the receiver wanted no more
    kCut,      // no connection, or an end before the end; another try may do
    kRefused,  // certificate, redirect: another try will not do
  };
  int id = 0;
  How how = How::kCut;
  bool reached = false;  // a server answered
  Head head;
  // Of the redirects before it: the hub says there what the file is.
  std::map<std::string, std::string> hub_headers;
  std::string url;      // the last one
  std::string message;  // unless whole
};

class Transfers {
 public:
  // Error 69 where there is no libcurl.
  static Result<std::unique_ptr<Transfers>> create(const TransferOptions& options);
  virtual ~Transfers() = default;
  // The receiver must live until the transfer is finished or stopped.
  virtual int start(const Request& request, Receiver* receiver) = 0;
  virtual void stop_all() = 0;
  // Moves data for at most `ms`; those that have ended.
  virtual std::vector<Finished> poll(int ms) = 0;
};

// "https://host:443" of an address; empty where it is none of ours or its host is written oddly.
std::string origin_of(const std::string& url);

}  // namespace nibble::hub
