// Finds the calls of tools in an answer as it comes: text before them is content, and the arguments
// of a call are given out as they are written.
//
// The answer was held to a grammar (tools.h), so a call that begins goes on as one; one that is cut
// off by the answer's end keeps what there is of it. Read next: tools.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble::cli {

// What a call looks like.
struct CallForm {
  std::string opening;    // up to the name: <tool_call>\n{"name": "
  std::string separator;  // between name and arguments: ", "arguments":_
  std::string closing;    // behind the arguments: }\n</tool_call>
  bool anywhere = false;  // text may stand before a call, and calls follow one another
};

class CallReader {
 public:
  struct Piece {
    enum Kind { kContent, kCall, kArguments };
    Kind kind;
    std::string text;  // of a call: its name
  };

  explicit CallReader(CallForm form) : form_(std::move(form)) {}
  std::vector<Piece> push(std::string_view text);
  // At the end: what was held back.
  std::vector<Piece> finish();
  size_t calls() const { return calls_; }

 private:
  enum class State { kText, kName, kArguments, kBehind };
  bool take_text(std::vector<Piece>* out);
  bool take_name(std::vector<Piece>* out);
  bool take_arguments(std::vector<Piece>* out);

  CallForm form_;
  State state_ = State::kText;
  std::string held_;
  bool at_start_ = true;
  size_t calls_ = 0;
  // Of the arguments.
  int depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;
};

}  // namespace nibble::cli
