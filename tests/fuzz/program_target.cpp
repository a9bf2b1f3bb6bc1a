// What a person or a client sends to the program: its arguments, its configuration file, HTTP.
#include <cstdlib>
#include <sstream>

#include "tests/fuzz/all.h"
#include "tools/nibble/program.h"
#include "tools/nibble/serve/http_parser.h"
#include "tools/nibble/toml.h"

namespace nibble::fuzz {
namespace {

using cli::HttpParser;

// Gives the parser `input` in pieces of 1 to `most` bytes.
HttpParser parse(std::string_view input, size_t most) {
  HttpParser parser({.line_bytes = 200, .header_bytes = 800, .header_count = 8, .body_bytes = 300});
  Random random(most);
  std::string waiting;
  Feed feed(input);
  while (true) {
    const size_t used = parser.take(waiting);
    require(used <= waiting.size(), "no more is taken than there is");
    waiting.erase(0, used);
    using State = HttpParser::State;
    if (parser.state() == State::kComplete || parser.state() == State::kRefused) return parser;
    if (used > 0 && !waiting.empty()) continue;
    if (feed.empty()) return parser;
    waiting += feed.take(1 + random.below(most));
  }
}

}  // namespace

void run_http(std::string_view input) {
  HttpParser whole = parse(input, input.size() + 1), pieces = parse(input, 3);
  require(whole.state() == pieces.state(), "pieces are judged as the whole is");
  if (whole.state() == HttpParser::State::kRefused) {
    require(whole.refusal().status >= 400 && whole.refusal().status < 600 &&
                !whole.refusal().message.empty(),
            "a refusal says why");
    require(whole.refusal().status == pieces.refusal().status, "for the same reason");
  }
  if (whole.state() != HttpParser::State::kComplete) return;
  require(whole.request().body == pieces.request().body, "the body is the same");
  require(whole.request().headers == pieces.request().headers, "and so are the headers");
  require(whole.request().body.size() <= 300, "a body has its limit");
  for (const auto& [name, value] : whole.request().headers) {
    require((name + value).find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
            "a header is one line");
  }
}

std::vector<std::string> http_seeds() {
  return {
      "GET /health?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: a:8080\r\nContent-Length: 5\r\nExpect: "
      "100-continue\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: "
      "v\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\n\r\n",
      "GET http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
      "chunked\r\n\r\n",
  };
}

// Arguments, each ended by a byte 0.
void run_arguments(std::string_view input) {
  static const bool alone = setenv("HOME", "/nonexistent", 1) == 0;  // without a person's settings
  require(alone, "the environment can be set");
  std::vector<std::string> words = {"nibble"};
  while (!input.empty() && words.size() < 32) {
    const size_t end = std::min(input.find('\0'), input.size());
    words.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int code = cli::read_arguments(static_cast<int>(words.size()), arguments.data());
  require(code == 0 || (code >= 64 && code < 78), "an exit code is one of sysexits.h");
}

std::vector<std::string> arguments_seeds() {
  using namespace std::string_literals;
  return {
      "run\0model.gguf\0Why is the sky blue?\0-n\0"
      "16\0--temp\0"
      "0.5\0--stats\0"s,
      "run\0-p\0[a]\0-c=4096\0--kv\0q8_0\0--cpus\0"
      "0-3,8\0--memory\0"
      "8G\0--stop\0x\0"s,
      "serve\0m\0--port\0"
      "8080\0--allow-host\0a.b\0"s,
      "bench\0m\0-p\0"
      "8-64*2\0-d\0"
      "0,4096\0--jsonl\0"s,
      "quantize\0in\0out\0Q4_K_M\0--dry-run\0"s,
      "plan\0gemma3-4b\0--ram\0"
      "8G\0"s,
      "run\0--help\0"s,
      "--version\0"s,
      "tokenize\0m\0--core-speeds\0"
      "0.4,1\0--no-such\0"s};
}

void run_toml(std::string_view input) {
  std::istringstream stream{std::string(input)};
  const auto settings = cli::read_toml(stream);
  if (!settings) require_readable(settings.error());
}

std::vector<std::string> toml_seeds() {
  return {"# mine\ntemp = 0.5\n[run]\ntop-k = 40\nstop = [\"a\", 'b\\n']\nstats = true\n",
          "[serve]\r\nallow-host = [ \"x\\u00e9\", \"y\" ] # c\r\nport=8080\r\n"};
}

}  // namespace nibble::fuzz
