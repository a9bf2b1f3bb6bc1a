#include "runtime/text/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/text/jinja_render.h"

namespace nibble {
namespace {

using nlohmann::json;

json golden() {
  std::ifstream file(NIBBLE_SOURCE_DIR "/tests/golden/chat-templates.json");
  return json::parse(file);
}

std::string source_of(const std::string& name) {
  for (const auto& entry : golden()) {
    if (entry["name"] == name) return entry["template"];
  }
  ADD_FAILURE() << "no template " << name;
  return "";
}

std::vector<ChatMessage> messages_of(const json& list) {
  std::vector<ChatMessage> messages;
  for (const auto& pair : list) messages.push_back({pair[0], pair[1]});
  return messages;
}

const std::vector<ChatMessage> kHello = {{"user", " Hello "}};
const std::vector<ChatMessage> kWithSystem = {{"system", "Be brief."}, {"user", "Hello"}};

TEST(ChatTemplate, PublishedFormsAsTheReference) {
  const std::tm now = jinja::test_clock();
  int rendered = 0;
  for (const auto& entry : golden()) {
    const std::string name = entry["name"];
    const ChatTemplate chat =
        ChatTemplate::create(entry["template"].get<std::string>(), "", "<s>", "</s>");
    EXPECT_FALSE(chat.is_fallback()) << name << ": " << chat.notes()[0];
    const bool folds = !chat.notes().empty();
    for (const auto& test : entry["cases"]) {
      const std::vector<ChatMessage> messages = messages_of(test["messages"]);
      if (folds && messages[0].role == "system") continue;
      const Result<std::string> text = chat.render(messages, test["add_generation_prompt"], &now);
      ++rendered;
      if (test.contains("error")) {
        ASSERT_FALSE(text.ok()) << name;
        EXPECT_EQ(text.error().message, "chat template: " + test["error"].get<std::string>());
        EXPECT_EQ(text.error().code, ErrorCode::kUsage);
      } else {
        ASSERT_TRUE(text.ok()) << name << ": " << text.error().message;
        EXPECT_EQ(*text, test["text"].get<std::string>()) << name;
      }
    }
  }
  EXPECT_GT(rendered, 170);
}

TEST(ChatTemplate, SystemTextIsFoldedWhereThereIsNoSystemRole) {
  const ChatTemplate gemma = ChatTemplate::create(source_of("gemma2"), "gemma2", "<bos>", "<eos>");
  ASSERT_EQ(gemma.notes().size(), 1u);
  EXPECT_FALSE(gemma.is_fallback());
  EXPECT_EQ(*gemma.render(kWithSystem, true),
            "<bos><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(*gemma.render({{"system", "One."}, {"system", "Two."}, {"user", "Hi"}}, false),
            "<bos><start_of_turn>user\nOne.\n\nTwo.\n\nHi<end_of_turn>\n");
  EXPECT_EQ(*gemma.render({{"system", "Alone."}}, false),
            "<bos><start_of_turn>user\nAlone.<end_of_turn>\n");
  // One that drops the system text without a word.
  const ChatTemplate phi = ChatTemplate::create(source_of("phi3"), "phi3", "<s>", "<|end|>");
  ASSERT_EQ(phi.notes().size(), 1u);
  EXPECT_EQ(*phi.render(kWithSystem, true), "<|user|>\nBe brief.\n\nHello<|end|>\n<|assistant|>\n");
}

TEST(ChatTemplate, TheBuiltInModelsTemplate) {
  // As in tools/models/stories-gemma3-qat-q4_0.gguf.
  std::ifstream file(NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf",
                     std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const size_t start = bytes.find("{{ bos_token }}");
  ASSERT_NE(start, std::string::npos);
  const std::string_view last = "{%- endif -%}";
  const size_t end = bytes.find(last, start) + last.size();
  const ChatTemplate chat =
      ChatTemplate::create(bytes.substr(start, end - start), "gemma3", "<bos>", "<eos>");
  EXPECT_FALSE(chat.is_fallback());
  EXPECT_TRUE(chat.notes().empty());
  EXPECT_EQ(*chat.render({{"user", "  Tell me a story. \n"}}, true),
            "<bos><start_of_turn>user\nTell me a story.<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(*chat.render({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}, false),
            "<bos><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
            "<start_of_turn>user\nc<end_of_turn>\n");
}

struct Family {
  const char* architecture;
  const char* bos;
  const char* eos;
  const char* prompt;  // of kHello
  const char* with_system;
};

TEST(ChatTemplate, FamilyFormsWithoutATemplate) {
  const Family families[] = {
      {"gemma3", "<bos>", "<eos>",
       "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
       "<bos><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\n"},
      {"llama", "<|begin_of_text|>", "<|eot_id|>",
       "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
       "<|start_header_id|>assistant<|end_header_id|>\n\n",
       "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
       "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
       "<|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"qwen3", "", "<|im_end|>", "<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
       "<|im_start|>assistant\n"},
      {"llama", "<|im_start|>", "<|im_end|>",
       "<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
       "<|im_start|>assistant\n"},
      {"phi3", "<s>", "<|endoftext|>", "<|user|>\n Hello <|end|>\n<|assistant|>\n",
       "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\n"},
      {"phi3", "", "<|im_end|>",
       "<|im_start|>user<|im_sep|> Hello <|im_end|><|im_start|>assistant<|im_sep|>",
       "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hello<|im_end|>"
       "<|im_start|>assistant<|im_sep|>"},
      {"smollm3", "<|begin_of_text|>", "<|end_of_text|>",
       "<|im_start|>user\n Hello <|im_end|>\n<|im_start|>assistant\n",
       "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
       "<|im_start|>assistant\n"},
      {"mistral3", "<s>", "</s>", "<s>[INST]  Hello  [/INST]",
       "<s>[INST] Be brief.\n\nHello [/INST]"},
      {"llama", "<s>", "</s>", "<s> Hello ", "<s>Be brief.\n\nHello"},
      {"gemma4", "<bos>", "<eos>", "<bos> Hello ", "<bos>Be brief.\n\nHello"},
  };
  for (const Family& family : families) {
    const ChatTemplate chat = ChatTemplate::create("", family.architecture, family.bos, family.eos);
    EXPECT_TRUE(chat.is_fallback());
    ASSERT_FALSE(chat.notes().empty());
    EXPECT_EQ(chat.notes()[0].find("the file has no chat template; using the form: "), 0u);
    EXPECT_EQ(*chat.render(kHello, true), family.prompt);
    EXPECT_EQ(*chat.render(kWithSystem, true), family.with_system);
  }
}

TEST(ChatTemplate, UnusableTemplatesFallBackWithTheReason) {
  const char* sources[] = {
      "{% for m in messages %}{{ m.content",                         // no Jinja
      "{% import 'x' as y %}{{ messages }}",                         // beyond the subset
      "{{ messages[0].content | yaml }}",                            // an unknown filter
      "{{ 'the same for all' }}",                                    // loses the messages
      "{% for m in messages %}{{ m.content[0].text }}{% endfor %}",  // wants other messages
      "{% for i in range(1000000000) %}x{% endfor %}",               // hostile
      "{{ raise_exception('never') }}",
  };
  for (const char* source : sources) {
    const ChatTemplate chat = ChatTemplate::create(source, "gemma3", "<bos>", "<eos>");
    EXPECT_TRUE(chat.is_fallback()) << source;
    EXPECT_EQ(chat.source(), source);
    ASSERT_FALSE(chat.notes().empty());
    EXPECT_EQ(chat.notes()[0].find("the file's chat template cannot be used (chat template"), 0u)
        << chat.notes()[0];
    EXPECT_EQ(*chat.render(kHello, true),
              "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n");
  }
}

TEST(ChatTemplate, NoMessagesIsAnError) {
  const ChatTemplate chat = ChatTemplate::create("", "gemma3", "<bos>", "<eos>");
  EXPECT_EQ(chat.render({}, true).error().code, ErrorCode::kUsage);
}

// A hostile vocabulary may have tokens of any length.
TEST(ChatTemplate, LongSpecialTokens) {
  const std::string token(9u << 20, 'b');
  const ChatTemplate mistral = ChatTemplate::create("", "mistral3", token, token);
  EXPECT_EQ(*mistral.render({{"user", "a"}, {"assistant", "b"}}, true),
            token + "[INST] a [/INST] b" + token);
}

// Limits are about the template, not about how much the user writes.
TEST(ChatTemplate, LongConversationsRender) {
  const std::string megabytes(12u << 20, 'x');
  for (const char* name : {"gemma3", "llama3.2", "qwen3", "smollm3", "mistral-v7"}) {
    const ChatTemplate chat = ChatTemplate::create(source_of(name), "", "<s>", "</s>");
    const Result<std::string> text = chat.render({{"user", megabytes}}, true);
    ASSERT_TRUE(text.ok()) << name << ": " << text.error().message;
    EXPECT_NE(text->find(megabytes), std::string::npos);
    std::vector<ChatMessage> many;
    for (int i = 0; i < 20'001; ++i) many.push_back({i % 2 == 0 ? "user" : "assistant", "text"});
    const Result<std::string> long_text = chat.render(many, true);
    EXPECT_TRUE(long_text.ok()) << name << ": " << long_text.error().message;
  }
}

// A template in the way of those that know tools.
constexpr const char* kWithTools =
    "{%- if tools is not none %}{% for tool in tools %}[{{ tool.function.name }} {{ tool | tojson "
    "}}]"
    "{% endfor %}{% endif %}"
    "{%- for message in messages %}<{{ message.role }}>{{ message.content }}"
    "{%- if message.tool_calls %}{% for call in message.tool_calls %}"
    "{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}{% endif %}"
    "{% endfor %}";

TEST(ChatTemplate, ToolsAndCallsAreValues) {
  const ChatTemplate chat = ChatTemplate::create(kWithTools, "", "", "");
  ASSERT_FALSE(chat.is_fallback());
  const std::string tools =
      R"([{"type": "function", "function": {"name": "f", "x": [1, -2.5e1, true, null, "é\n\u00e9\u0001"]}}])";
  const std::vector<ChatMessage> messages = {
      {"user", "hi"},
      {"assistant", "",
       R"([{"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": {}}}}])"},
      {"tool", "done"}};
  const Result<std::string> text = chat.render(messages, true, nullptr, tools);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(*text,
            R"([f {"type": "function", "function": {"name": "f", "x": [1, -25.0, true, null, )"
            R"("é\né\u0001"]}}])"
            R"(<user>hi<assistant>f({"b": 1, "a": {}})<tool>done)");
  EXPECT_EQ(*chat.render({{"user", "hi"}}, true), "<user>hi");
}

TEST(ChatTemplate, ToolsThatAreNoJsonAreAnError) {
  const ChatTemplate chat = ChatTemplate::create(kWithTools, "", "", "");
  for (const char* wrong :
       {"[", "[1,]", "{\"a\" 1}", "[1] 2", "\"a", "[\"\\x\"]", "[\"\\u12\"]", "nul", "-", "[1e]"}) {
    const Result<std::string> text = chat.render({{"user", "hi"}}, true, nullptr, wrong);
    ASSERT_FALSE(text.ok()) << wrong;
    EXPECT_EQ(text.error().code, ErrorCode::kUsage);
    EXPECT_NE(text.error().message.find("not JSON at byte"), std::string::npos) << wrong;
  }
  EXPECT_FALSE(chat.render({{"user", "hi"}}, true, nullptr, std::string(100'000, '[')).ok());
  // An escape could hide the first character of a control token from who shields the text.
  EXPECT_FALSE(chat.render({{"user", "hi"}}, true, nullptr, R"(["\u003cbos>"])").ok());
}

}  // namespace
}  // namespace nibble
