// The functions of all targets, for the table in targets.cpp.
#pragma once

#include "tests/fuzz/targets.h"

namespace nibble::fuzz {

void run_gguf(std::string_view input);
std::vector<std::string> gguf_seeds();
std::string mutate_gguf(std::string_view input, Random& random);
void run_importance(std::string_view input);
std::vector<std::string> importance_seeds();
void run_reference(std::string_view input);
std::vector<std::string> reference_seeds();

void run_spm(std::string_view input);
void run_bpe(std::string_view input);
std::vector<std::string> text_seeds();
void run_vocabulary(std::string_view input);
std::vector<std::string> vocabulary_seeds();
void run_utf8(std::string_view input);

void run_jinja(std::string_view input);
std::vector<std::string> jinja_seeds();

void run_gbnf(std::string_view input);
std::vector<std::string> gbnf_seeds();
void run_schema(std::string_view input);
std::vector<std::string> schema_seeds();

void run_safetensors(std::string_view input);
std::vector<std::string> safetensors_seeds();
void run_checkpoint(std::string_view input);
std::vector<std::string> checkpoint_seeds();

void run_http(std::string_view input);
std::vector<std::string> http_seeds();
void run_arguments(std::string_view input);
std::vector<std::string> arguments_seeds();
void run_toml(std::string_view input);
std::vector<std::string> toml_seeds();

}  // namespace nibble::fuzz
