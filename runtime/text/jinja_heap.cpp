#include <algorithm>

#include "runtime/text/jinja_value.h"

namespace nibble::jinja {

std::string concatenate(Parts parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

void fail(Parts parts) {
  throw Failure{concatenate(parts), false};
}

void Heap::out_of_steps() const {
  fail({"the template needs more than ", std::to_string(limits_.steps), " steps"});
}

void Heap::charge(size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.memory_bytes) {
    fail({"the template needs more than ", std::to_string(limits_.memory_bytes),
          " bytes of memory"});
  }
}

std::string_view Heap::text(std::string text) {
  charge(sizeof(std::string) + text.size());
  step_bytes(text.size());
  return texts_.emplace_back(std::move(text));
}

List* Heap::list(bool tuple) {
  charge(sizeof(List));
  List* list = &lists_.emplace_back();
  list->tuple = tuple;
  return list;
}

Dict* Heap::dict() {
  charge(sizeof(Dict));
  return &dicts_.emplace_back();
}

Namespace* Heap::name_space() {
  charge(sizeof(Namespace));
  return &namespaces_.emplace_back();
}

Loop* Heap::loop() {
  charge(sizeof(Loop));
  return &loops_.emplace_back();
}

Callable* Heap::callable() {
  charge(sizeof(Callable));
  return &callables_.emplace_back();
}

Scope* Heap::scope(Scope* parent) {
  charge(sizeof(Scope));
  Scope* scope = &scopes_.emplace_back();
  scope->parent = parent;
  return scope;
}

void Heap::append(List* list, Value value) {
  step();
  charge(sizeof(Value));
  list->items.push_back(value);
}

void Heap::set(Dict* dict, const Value& key, const Value& value) {
  if (const Value* found = find(*this, *dict, key)) {
    *const_cast<Value*>(found) = value;  // `dict` is ours to change
    return;
  }
  charge(2 * sizeof(Value));
  dict->items.emplace_back(key, value);
}

void Heap::set(Scope* scope, std::string_view name, const Value& value) {
  for (Variable& variable : scope->variables) {
    step();
    if (variable.name != name) continue;
    variable.value = value;
    return;
  }
  charge(sizeof(Variable));
  scope->variables.push_back({name, value});
}

void TextBuilder::append(std::string_view text) {
  const size_t limit = heap_->limits().text_bytes;
  if (text.size() > limit - text_.size()) {
    fail({"the template makes a text of more than ", std::to_string(limit), " bytes"});
  }
  heap_->step((text_.size() % kStepBytes + text.size()) / kStepBytes);
  text_ += text;
}

void TextBuilder::append(size_t count, char c) {
  const size_t limit = heap_->limits().text_bytes;
  if (count > limit - text_.size()) {
    fail({"the template makes a text of more than ", std::to_string(limit), " bytes"});
  }
  heap_->step((text_.size() % kStepBytes + count) / kStepBytes);
  text_.append(count, c);
}

DepthGuard::DepthGuard(Heap& heap) : heap_(heap) {
  if (++heap_.depth_ > heap_.limits_.depth) {
    --heap_.depth_;  // the destructor does not run
    fail({"the template nests or recurses deeper than ", std::to_string(heap_.limits_.depth),
          " levels"});
  }
}

}  // namespace nibble::jinja
