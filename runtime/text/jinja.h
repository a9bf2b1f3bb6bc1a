// A sandboxed subset of Jinja2: what published chat templates use, as Hugging Face's
// apply_chat_template runs them (trim_blocks, lstrip_blocks, loop controls, immutable values).
//
// Nothing of the host is reachable and every resource is limited, so a hostile template is an error
// within milliseconds. Differences from Python: case changes and the white space around tags are
// ASCII, filters that are lazy there give lists, integers have 64 bits. Reference:
// jinja.palletsprojects.com/en/3.1.x/templates. Read next: jinja_value.h, jinja_lexer.h,
// jinja_ast.h, jinja_parser.h, jinja_interpreter.h.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "nibble/result.h"
#include "runtime/text/jinja_value.h"

namespace nibble::jinja {

struct Program;

// A parsed template. Immutable and thread-safe.
class Template {
 public:
  // Error 65 with the line, for what is no Jinja or beyond the subset.
  static Result<Template> parse(std::string_view source, const Limits& limits = {});

  // The text for these global variables, which live in `heap` (made for this render alone). `now`
  // is the time for strftime_now. Errors: 64 with the message of raise_exception, what is wrong
  // and in which line, or the limit that was exceeded.
  Result<std::string> render(Heap& heap, const Dict& globals, const std::tm& now) const;

 private:
  std::shared_ptr<const Program> program_;
};

}  // namespace nibble::jinja
