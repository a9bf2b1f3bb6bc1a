#include "tools/nibble/serve/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "tools/nibble/serve/integer_range.h"

namespace nibble::cli {
namespace {

constexpr size_t kNodesMax = 5'000;     // places of the schema that are looked at
constexpr size_t kTextMax = 400 << 10;  // of the grammar
constexpr int64_t kLengthMax = 4'000;   // of texts and lists
constexpr size_t kDepthMax = 256;       // of schemas in one another, by $ref
constexpr int64_t kIntegerMax = 1'000'000'000'000'000;

// White space is allowed where people put it, and not without end.
constexpr const char* kCommon = R"gbnf(
ws ::= (" " | "\n" [ \t]{0,20})?
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
string ::= "\"" char* "\""
integer ::= "-"? ("0" | [1-9] [0-9]{0,14})
number ::= integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? ws "}"
array ::= "[" ws (value ("," ws value)*)? ws "]"
)gbnf";

// What restricts and is not taken.
constexpr const char* kUnoffered[] = {"not",
                                      "if",
                                      "then",
                                      "else",
                                      "pattern",
                                      "patternProperties",
                                      "propertyNames",
                                      "multipleOf",
                                      "exclusiveMinimum",
                                      "exclusiveMaximum",
                                      "minProperties",
                                      "maxProperties",
                                      "contains",
                                      "dependentRequired",
                                      "dependentSchemas",
                                      "unevaluatedProperties",
                                      "unevaluatedItems",
                                      "uniqueItems",
                                      "$dynamicRef"};

class SchemaWriter {
 public:
  SchemaWriter(const Json& root, std::string name) : root_(root), name_(std::move(name)) {}

  std::string write() {
    // Written first, so that a $ref to the root finds it.
    references_["#"] = "root";
    const std::string root = visit(root_);
    return "root ::= " + root + "\n" + rules_ + kCommon;
  }

  // The root is a list of schemas; references in each begin with its index.
  std::string write_each() {
    for (size_t i = 0; i < root_.size(); ++i) define("args" + std::to_string(i), visit(root_[i]));
    return rules_ + kCommon;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const { refuse(name_ + ": " + what, name_); }

  // A rule that stands for the schema, or an alternation in parentheses.
  std::string visit(const Json& schema) {
    if (++nodes_ > kNodesMax) wrong("the schema is too large");
    if (++depth_ > kDepthMax) wrong("the schema's references lead too deep");
    std::string rule = written(schema);
    --depth_;
    return rule;
  }

  std::string written(const Json& schema) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) wrong("a schema of false allows nothing");
      return "value";
    }
    if (!schema.is_object()) wrong("a schema must be an object");
    refuse_unoffered(schema);
    if (schema.contains("$ref")) return reference(schema["$ref"]);
    if (schema.contains("const")) return gbnf_literal(dump(schema["const"]));
    if (schema.contains("enum")) return enumeration(schema["enum"]);
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return alternatives(key, schema[key]);
    }
    if (schema.contains("allOf")) {
      const Json& all = schema["allOf"];
      if (!all.is_array() || all.size() != 1)
        wrong("allOf of other than one schema is not offered");
      return visit(all[0]);
    }
    if (!schema.contains("type")) {
      if (schema.contains("properties") || schema.contains("additionalProperties")) {
        return object(schema);
      }
      if (schema.contains("items") || schema.contains("prefixItems")) return array(schema);
      return "value";
    }
    const Json& type = schema["type"];
    if (type.is_string()) return typed(schema, type.get<std::string>());
    if (!type.is_array() || type.empty()) wrong("type must be a text or a list of them");
    std::string out;
    for (const Json& one : type) {
      if (!one.is_string()) wrong("type must be a text or a list of them");
      out += (out.empty() ? "(" : " | ") + typed(schema, one.get<std::string>());
    }
    return out + ")";
  }

  void refuse_unoffered(const Json& schema) const {
    for (const char* key : kUnoffered) {
      if (schema.contains(key) && schema[key] != false) {
        wrong(std::string(key) + " is not offered; leave it out");
      }
    }
  }

  std::string typed(const Json& schema, const std::string& type) {
    if (type == "object") return object(schema);
    if (type == "array") return array(schema);
    if (type == "string") return text(schema);
    if (type == "integer") return integer(schema);
    if (type == "number") {
      for (const char* key : {"minimum", "maximum"}) {
        if (schema.contains(key)) {
          wrong(std::string(key) + " is offered for integers only; leave it out");
        }
      }
      return "number";
    }
    if (type == "boolean" || type == "null") return type;
    wrong("the type '" + type.substr(0, 40) + "' is not known");
  }

  std::string reference(const Json& ref) {
    if (!ref.is_string()) wrong("$ref must be a text");
    const auto& pointer = ref.get_ref<const std::string&>();
    if (const auto known = references_.find(pointer); known != references_.end()) {
      return known->second;
    }
    if (!pointer.starts_with("#/")) wrong("$ref is offered within the schema: #/$defs/NAME");
    const Json* target = nullptr;
    try {
      target = &root_.at(Json::json_pointer(pointer.substr(1)));
    } catch (const Json::exception&) {
      wrong("there is no " + pointer.substr(0, 80) + " that $ref names");
    }
    const std::string rule = new_name();
    references_[pointer] = rule;
    define(rule, visit(*target));
    return rule;
  }

  std::string enumeration(const Json& values) {
    if (!values.is_array() || values.empty()) wrong("enum must be a list with something in it");
    std::string out;
    for (const Json& value : values) {
      out += (out.empty() ? "(" : " | ") + gbnf_literal(dump(value));
      if (out.size() > kTextMax) wrong("the schema is too large");
    }
    return out + ")";
  }

  std::string alternatives(const char* key, const Json& list) {
    if (!list.is_array() || list.empty()) wrong(std::string(key) + " must be a list of schemas");
    std::string out;
    for (const Json& one : list) out += (out.empty() ? "(" : " | ") + visit(one);
    return named(out + ")");
  }

  // A bound that is a whole number from 0 to kLengthMax.
  std::optional<int64_t> length(const Json& schema, const char* key) const {
    if (!schema.contains(key)) return std::nullopt;
    const Json& value = schema[key];
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kLengthMax) {
      wrong(std::string(key) + " must be a whole number from 0 to " + std::to_string(kLengthMax));
    }
    return value.get<int64_t>();
  }

  // "{2,5}"
  std::string repetition(std::optional<int64_t> least, std::optional<int64_t> most,
                         const char* what) const {
    if (most && *most < least.value_or(0)) wrong(std::string(what) + " ends before it begins");
    return "{" + std::to_string(least.value_or(0)) + "," +
           (most ? std::to_string(*most) : std::string()) + "}";
  }

  std::string text(const Json& schema) {
    const auto least = length(schema, "minLength");
    const auto most = length(schema, "maxLength");
    if (!least && !most) return "string";
    return named("\"\\\"\" char" + repetition(least, most, "minLength to maxLength") + " \"\\\"\"");
  }

  std::string integer(const Json& schema) {
    const auto bound = [&](const char* key, double fallback, bool up) {
      if (!schema.contains(key)) return static_cast<int64_t>(fallback);
      if (!schema[key].is_number()) wrong(std::string(key) + " must be a number");
      const double value = schema[key].get<double>();
      return static_cast<int64_t>(std::clamp(up ? std::ceil(value) : std::floor(value),
                                             -1.0 * kIntegerMax, 1.0 * kIntegerMax));
    };
    if (!schema.contains("minimum") && !schema.contains("maximum")) return "integer";
    const int64_t low = bound("minimum", -1.0 * kIntegerMax, true);
    const int64_t high = bound("maximum", 1.0 * kIntegerMax, false);
    if (low > high) wrong("minimum is above maximum");
    return named(integer_range(low, high));
  }

  std::string array(const Json& schema) {
    const auto least = length(schema, "minItems").value_or(0);
    const auto most = length(schema, "maxItems");
    std::vector<std::string> first;
    if (schema.contains("prefixItems")) {
      if (!schema["prefixItems"].is_array()) wrong("prefixItems must be a list of schemas");
      for (const Json& one : schema["prefixItems"]) first.push_back(visit(one));
    }
    const bool closed = schema.contains("items") && schema["items"] == false;
    if (closed && first.empty()) return named("\"[\" ws \"]\"");
    const std::string item = closed                     ? ""
                             : schema.contains("items") ? visit(schema["items"])
                                                        : "value";
    if (!first.empty()) {
      // All of them, and then as many items as there may be.
      const auto count = static_cast<int64_t>(first.size());
      if (most && *most < count) wrong("maxItems is below the number of prefixItems");
      std::string body;
      for (const std::string& one : first) body += (body.empty() ? "" : " \",\" ws ") + one;
      if (!closed) {
        body += " (\",\" ws " + item + ")" +
                repetition(std::max<int64_t>(0, least - count),
                           most ? std::optional(*most - count) : std::nullopt, "minItems");
      } else if (least > count) {
        wrong("minItems is above the number of prefixItems");
      }
      return named("\"[\" ws " + body + " ws \"]\"");
    }
    if (most && *most == 0) return named("\"[\" ws \"]\"");
    const std::string more =
        repetition(std::max<int64_t>(0, least - 1), most ? std::optional(*most - 1) : std::nullopt,
                   "minItems to maxItems");
    const std::string items = item + " (\",\" ws " + item + ")" + more;
    return named("\"[\" ws " + (least > 0 ? items : "(" + items + ")?") + " ws \"]\"");
  }

  std::string object(const Json& schema) {
    static const Json kNone = Json::object();
    const auto found = schema.find("properties");
    const Json& properties = found == schema.end() ? kNone : *found;
    if (!properties.is_object()) wrong("properties must be an object");
    if (properties.size() > kNodesMax) wrong("the schema is too large");
    std::set<std::string_view> names;
    for (const auto& property : properties.items()) names.insert(property.key());
    std::vector<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) wrong("required must be a list of texts");
      for (const Json& one : schema["required"]) {
        if (!one.is_string()) wrong("required must be a list of texts");
        if (names.count(one.get_ref<const std::string&>()) == 0) {
          wrong("required names '" + one.get<std::string>().substr(0, 40) +
                "', which is not among the properties");
        }
        required.push_back(one.get<std::string>());
      }
    }
    std::sort(required.begin(), required.end());
    if (properties.empty()) return free_object(schema);
    // From the last property on: what may follow when something stands before, and when nothing
    // does.
    std::string rest = "\"\"";
    std::string first = "\"\"";
    for (auto property = properties.rbegin(); property != properties.rend(); ++property) {
      const std::string& key = property.key();
      const std::string pair = gbnf_literal(dump(key)) + " \":\" ws " + visit(property.value());
      const bool must = std::binary_search(required.begin(), required.end(), key);
      const std::string next_first = named(pair + " " + rest + (must ? "" : " | " + first));
      rest = named("\",\" ws " + pair + " " + rest + (must ? "" : " | " + rest));
      first = next_first;
    }
    return named("\"{\" ws " + first + " ws \"}\"");
  }

  // An object whose names are not given.
  std::string free_object(const Json& schema) {
    if (!schema.contains("additionalProperties")) return "object";
    const Json& more = schema["additionalProperties"];
    if (more == false) return named("\"{\" ws \"}\"");
    const std::string pair = "string \":\" ws " + visit(more);
    return named("\"{\" ws (" + pair + " (\",\" ws " + pair + ")*)? ws \"}\"");
  }

  std::string new_name() { return "r" + std::to_string(names_++); }

  void define(const std::string& rule, const std::string& body) {
    rules_ += rule + " ::= " + body + "\n";
    if (rules_.size() > kTextMax) wrong("the schema is too large");
  }

  // A rule of its own, so that text is not repeated where the schema is used twice.
  std::string named(const std::string& body) {
    const std::string rule = new_name();
    define(rule, body);
    return rule;
  }

  const Json& root_;
  const std::string name_;
  std::map<std::string, std::string> references_;
  std::string rules_;
  size_t names_ = 0;
  size_t nodes_ = 0;
  size_t depth_ = 0;
};

// References of a schema that becomes the element `index` of a list.
void move_references(Json* schema, const std::string& index) {
  if (schema->is_object()) {
    for (auto& [key, value] : schema->items()) {
      const bool is_local = key == "$ref" && value.is_string() &&
                            value.get_ref<const std::string&>().starts_with('#');
      if (is_local) {
        value = "#/" + index + value.get_ref<const std::string&>().substr(1);
      } else {
        move_references(&value, index);
      }
    }
  } else if (schema->is_array()) {
    for (Json& value : *schema) move_references(&value, index);
  }
}

}  // namespace

std::string gbnf_literal(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

Json loosened(Json schema) {
  if (schema.is_array()) {
    for (Json& value : schema) value = loosened(std::move(value));
    return schema;
  }
  if (!schema.is_object()) return schema;
  for (const char* key : kUnoffered) schema.erase(key);
  if (schema.contains("allOf") && (!schema["allOf"].is_array() || schema["allOf"].size() != 1)) {
    schema.erase("allOf");
  }
  if (schema.value("type", Json()) != "integer") {
    schema.erase("minimum");
    schema.erase("maximum");
  }
  for (auto& [key, value] : schema.items()) {
    if (key == "properties" || key == "$defs" || key == "definitions") {
      if (!value.is_object()) continue;
      for (auto& [name, inner] : value.items()) inner = loosened(std::move(inner));
    } else if (key != "const" && key != "enum" && key != "default" && key != "examples") {
      value = loosened(std::move(value));
    }
  }
  return schema;
}

std::string schema_rules(const Json& schemas, const std::string& name) {
  Json moved = schemas;
  for (size_t i = 0; i < moved.size(); ++i) move_references(&moved[i], std::to_string(i));
  return SchemaWriter(moved, name).write_each();
}

std::string schema_grammar(const Json& schema, const std::string& name) {
  return SchemaWriter(schema, name).write();
}

std::string json_grammar() {
  return std::string("root ::= object\n") + kCommon;
}

std::shared_ptr<const Grammar> compile_grammar(const std::string& gbnf, const std::string& name) {
  auto grammar = parse_grammar(gbnf);
  if (!grammar) refuse(name + ": " + grammar.error().message, name);
  return *grammar;
}

std::shared_ptr<const Grammar> read_response_format(const Fields& fields) {
  const Json* format = fields.object("response_format");
  if (const auto gbnf = fields.text("grammar"); gbnf && !gbnf->empty()) {
    if (format != nullptr) refuse("grammar and response_format exclude each other", "grammar");
    return compile_grammar(*gbnf, "grammar");
  }
  if (format == nullptr) return nullptr;
  const Fields inner(*format, "response_format.");
  const std::string type = inner.text("type").value_or("");
  if (type == "text") return nullptr;
  if (type == "json_object") return compile_grammar(json_grammar(), "response_format");
  if (type != "json_schema") {
    refuse("response_format.type must be text, json_object or json_schema", "response_format.type");
  }
  // OpenAI's form, or the schema beside the type.
  const Json* named = inner.object("json_schema");
  const Fields holder(named != nullptr ? *named : *format, "response_format.json_schema.");
  const Json* schema = holder.find("schema");
  if (schema == nullptr) {
    refuse("response_format.json_schema.schema is missing", "response_format.json_schema.schema");
  }
  const std::string name = "response_format.json_schema.schema";
  return compile_grammar(schema_grammar(*schema, name), name);
}

}  // namespace nibble::cli
