#include "tools/nibble/serve/call_reader.h"

#include <algorithm>
#include <utility>

namespace nibble::cli {

std::vector<CallReader::Piece> CallReader::push(std::string_view text) {
  held_ += text;
  std::vector<Piece> out;
  while (true) {
    const bool goes_on = state_ == State::kName        ? take_name(&out)
                         : state_ == State::kArguments ? take_arguments(&out)
                                                       : take_text(&out);
    if (!goes_on) return out;
  }
}

std::vector<CallReader::Piece> CallReader::finish() {
  std::vector<Piece> out;
  if (state_ == State::kName) held_ = form_.opening + held_;
  if (state_ != State::kBehind && state_ != State::kArguments && !held_.empty()) {
    out.push_back({Piece::kContent, std::exchange(held_, {})});
  }
  return out;
}

// Text, or what stands between two calls.
bool CallReader::take_text(std::vector<Piece>* out) {
  const bool between = state_ == State::kBehind;
  if (between && !form_.anywhere) {
    held_.clear();
    return false;
  }
  const bool may_begin = form_.anywhere || at_start_;
  const size_t at = !may_begin                         ? std::string::npos
                    : form_.anywhere                   ? held_.find(form_.opening)
                    : held_.starts_with(form_.opening) ? 0
                                                       : std::string::npos;
  // What may become the opening waits: any end of the text, or all of it where only the beginning
  // of the answer can.
  size_t keep = 0;
  if (at == std::string::npos && may_begin) {
    for (size_t n = std::min(form_.opening.size() - 1, held_.size()); n > keep; --n) {
      const bool fits = form_.anywhere || n == held_.size();
      if (fits && held_.ends_with(std::string_view(form_.opening).substr(0, n))) keep = n;
    }
  }
  const size_t count = at == std::string::npos ? held_.size() - keep : at;
  if (count > 0) {
    at_start_ = false;
    if (!between) out->push_back({Piece::kContent, held_.substr(0, count)});
    held_.erase(0, count);
  }
  if (at == std::string::npos) return false;
  held_.erase(0, form_.opening.size());
  state_ = State::kName;
  return true;
}

bool CallReader::take_name(std::vector<Piece>* out) {
  const size_t end = held_.find(form_.separator);
  if (end == std::string::npos) return false;
  out->push_back({Piece::kCall, held_.substr(0, end)});
  held_.erase(0, end + form_.separator.size());
  ++calls_;
  depth_ = 0;
  in_text_ = escaped_ = false;
  state_ = State::kArguments;
  return true;
}

// One JSON object, to its last brace.
bool CallReader::take_arguments(std::vector<Piece>* out) {
  size_t end = 0;
  bool whole = false;
  while (end < held_.size() && !whole) {
    const char c = held_[end++];
    if (in_text_) {
      in_text_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_text_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      whole = --depth_ == 0;
    }
  }
  if (end > 0) out->push_back({Piece::kArguments, held_.substr(0, end)});
  held_.erase(0, end);
  if (whole) state_ = State::kBehind;
  return whole;
}

}  // namespace nibble::cli
