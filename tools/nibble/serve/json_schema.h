// JSON Schemas (2020-12) as grammars in GBNF: what the answer may be.
//
// Taken: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
// enum, const, anyOf, oneOf, allOf of one, $ref within the schema (recursive ones too), minLength,
// maxLength, and minimum and maximum of integers. Properties come in the schema's order; of objects
// that name their properties no others come. What describes (title, format ...) is passed over;
// what restricts and is not taken (pattern, multipleOf ...) is refused by name.
#pragma once

#include <memory>
#include <string>

#include "nibble/batch.h"
#include "tools/nibble/serve/fields.h"

namespace nibble::cli {

// GBNF for a schema; `name` is the field that messages name. Throws ApiError.
std::string schema_grammar(const Json& schema, const std::string& name);
// The same for several, without a root: the rules args0, args1 ... stand for them.
std::string schema_rules(const Json& schemas, const std::string& name);
// The schema without what restricts and is not taken, for where more may be allowed than was asked.
Json loosened(Json schema);
// A text as a literal of GBNF.
std::string gbnf_literal(const std::string& text);
// GBNF for any JSON object.
std::string json_grammar();

// The grammar of the field `response_format`, or of `grammar` (GBNF itself); null for neither.
// Throws ApiError.
std::shared_ptr<const Grammar> read_response_format(const Fields& fields);
// GBNF to a grammar, or ApiError about the field `name`.
std::shared_ptr<const Grammar> compile_grammar(const std::string& gbnf, const std::string& name);

}  // namespace nibble::cli
