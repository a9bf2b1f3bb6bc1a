#include "runtime/text/jinja.h"

#include "runtime/text/jinja_interpreter.h"
#include "runtime/text/jinja_parser.h"

namespace nibble::jinja {

Result<Template> Template::parse(std::string_view source, const Limits& limits) {
  try {
    Template result;
    result.program_ = parse_program(source, limits);
    return result;
  } catch (const Failure& failure) {
    return Error{ErrorCode::kData, "chat template: " + failure.message};
  }
}

Result<std::string> Template::render(Heap& heap, const Dict& globals, const std::tm& now) const {
  Interpreter interpreter(heap, now);
  try {
    return interpreter.run(*program_, globals);
  } catch (const Failure& failure) {
    if (failure.raised) return Error{ErrorCode::kUsage, "chat template: " + failure.message};
    return Error{ErrorCode::kUsage, "chat template, line " + std::to_string(interpreter.line()) +
                                        ": " + failure.message};
  }
}

}  // namespace nibble::jinja
