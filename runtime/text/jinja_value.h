// The values of a template, and the heap that owns them and counts what a render uses.
//
// A value is plain data or a pointer into its Heap; nothing is freed before the heap, so cycles
// (a namespace that holds itself) are harmless and the heap's byte count bounds all memory. Text is
// bytes; its characters are UTF-8 code points as in Python, and a byte that is not UTF-8 is a
// character of its own, passed on as it is. Errors leave these functions as a Failure, which
// jinja.cpp turns into a Result. Read next: jinja_interpreter.cpp.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nibble::jinja {

constexpr size_t kStepBytes = 16;

struct Limits {
  uint64_t steps = 1'000'000;       // nodes evaluated, and 16-byte pieces of text worked on
  int depth = 200;                  // of nesting in the syntax, in calls and in values
  size_t text_bytes = 8u << 20;     // of the output and of any one text
  size_t memory_bytes = 64u << 20;  // of all values made during a render
  size_t source_bytes = 1u << 20;   // of the template itself
};

// The only exception here; caught in jinja.cpp. `raised`: by the template itself.
struct Failure {
  std::string message;
  bool raised = false;
};
// Texts put together; also because GCC 12 warns about "x" + std::string(...) where nothing is
// wrong.
using Parts = std::initializer_list<std::string_view>;
std::string concatenate(Parts parts);
[[noreturn]] void fail(Parts parts);

struct Macro;
struct Scope;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

struct Undefined {
  std::string_view name;  // what was looked up, for the message
};
struct None {};

using Value = std::variant<Undefined, None, bool, int64_t, double, std::string_view, const List*,
                           const Dict*, Namespace*, const Loop*, const Callable*>;

struct List {
  std::vector<Value> items;
  bool tuple = false;
};

// In order of insertion. Lookups are linear (a message has a handful of keys) and are charged.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};

struct Namespace {
  Dict attributes;
};

struct Loop {
  const List* items = nullptr;
  int64_t index0 = 0;
};

// Something that can be called: a global function or method by its name, or a macro.
struct Callable {
  std::string_view name;
  Value receiver;  // of a method; Undefined for a function
  const Macro* macro = nullptr;
  Scope* closure = nullptr;
};

struct Variable {
  std::string_view name;
  Value value;
};

struct Scope {
  Scope* parent = nullptr;
  std::vector<Variable> variables;
};

// Owns what a render makes and ends it when it uses too much. One render, one thread.
class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits) {}

  const Limits& limits() const { return limits_; }

  void step(uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) out_of_steps();
  }
  // Work that is proportional to bytes of text.
  void step_bytes(size_t bytes) { step(1 + bytes / kStepBytes); }
  void charge(size_t bytes);

  std::string_view text(std::string text);
  List* list(bool tuple = false);
  Dict* dict();
  Namespace* name_space();
  Loop* loop();
  Callable* callable();
  Scope* scope(Scope* parent);

  void append(List* list, Value value);
  // Sets or adds.
  void set(Dict* dict, const Value& key, const Value& value);
  void set(Scope* scope, std::string_view name, const Value& value);

 private:
  friend class DepthGuard;
  [[noreturn]] void out_of_steps() const;

  Limits limits_;
  uint64_t steps_ = 0;
  size_t bytes_ = 0;
  int depth_ = 0;
  std::deque<std::string> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Loop> loops_;
  std::deque<Callable> callables_;
  std::deque<Scope> scopes_;
};

// Text under construction; never longer than the limit.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(&heap) {}
  void append(std::string_view text);
  void append(size_t count, char c);
  std::string_view finish() { return heap_->text(std::move(text_)); }
  std::string release() { return std::move(text_); }

 private:
  Heap* heap_;
  std::string text_;
};

// Counts one level of recursion, over values and syntax alike.
class DepthGuard {
 public:
  explicit DepthGuard(Heap& heap);
  ~DepthGuard() { --heap_.depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Heap& heap_;
};

template <typename T>
bool is(const Value& value) {
  return std::holds_alternative<T>(value);
}

std::string_view type_name(const Value& value);  // "string", "list" ...
bool truthy(const Value& value);
bool equal(Heap& heap, const Value& a, const Value& b);
// Order of numbers, texts and lists: negative, 0, positive.
int compare(Heap& heap, const Value& a, const Value& b);
const Value* find(Heap& heap, const Dict& dict, const Value& key);
bool contains(Heap& heap, const Value& container, const Value& element);
int64_t length(Heap& heap, const Value& value);
// The elements: items, keys, characters; nothing for Undefined.
const List* iterate(Heap& heap, const Value& value);

// Python's a.name and a[key]; Undefined when there is none.
Value get_attribute(Heap& heap, const Value& object, std::string_view name);
Value get_item(Heap& heap, const Value& object, const Value& key);
// a[start:stop:step]; None or Undefined: left out.
Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
            const Value& step);

// str(value), and as a view without a copy for text.
void append_text(Heap& heap, TextBuilder* out, const Value& value);
std::string_view to_text(Heap& heap, const Value& value);

struct JsonOptions {
  int indent = -1;  // -1: on one line
  bool ascii = false;
  bool sort_keys = false;
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};
void append_json(Heap& heap, TextBuilder* out, const Value& value, const JsonOptions& options);

// Numbers and text out of an argument; `what` names it in the error.
int64_t to_int(const Value& value, std::string_view what);
std::string_view expect_text(const Value& value, std::string_view what);
// An integer or a float (a boolean counts as an integer, as in Python); nothing for the rest.
std::optional<double> as_number(const Value& value);
std::optional<int64_t> as_integer(const Value& value);

// Characters of text (see the top): bytes of the first one, and where number `index` starts.
size_t character_size(std::string_view text);
size_t character_offset(std::string_view text, int64_t index);
int64_t character_count(std::string_view text);
// As std::string_view::find, but linear whatever is searched for.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

}  // namespace nibble::jinja
