// From tokens to the syntax tree, by recursive descent with Jinja's precedence.
// Read next: jinja_interpreter.h.
#pragma once

#include <memory>
#include <string_view>

#include "runtime/text/jinja_ast.h"

namespace nibble::jinja {

// Throws Failure with the line.
std::shared_ptr<const Program> parse_program(std::string_view source, const Limits& limits);

}  // namespace nibble::jinja
