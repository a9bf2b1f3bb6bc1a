// nibble run: answers a prompt, or chats with a person. stdout gets the answer and nothing else.
// Read next: prompt.h (what is asked), conversation.h (asking), chat.h (a person).
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/nibble/chat.h"
#include "tools/nibble/command.h"
#include "tools/nibble/conversation.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/output.h"
#include "tools/nibble/prompt.h"
#include "tools/nibble/sandbox.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

struct RunChoice {
  PromptSource source;
  std::string first_word;
  std::string second_word;
  std::string prompt;
  MachineChoice machine;
  SamplingChoice sampling;
  std::optional<int64_t> max_tokens;
  std::optional<int64_t> logprobs;
  std::vector<std::string> stop;
  std::string system;
  std::string draft;
  bool raw = false;
  bool ignore_eos = false;
  bool no_lookup = false;
  bool json = false;
  bool stats = false;
  std::string sandbox = "auto";
};

GenerateOptions generate_options(const RunChoice& choice) {
  GenerateOptions options;
  options.max_tokens = choice.max_tokens.value_or(-1);
  options.stop = choice.stop;
  options.ignore_end = choice.ignore_eos;
  options.lookup = !choice.no_lookup;
  if (choice.json) options.logprobs = static_cast<int>(choice.logprobs.value_or(0));
  return options;
}

// A full context is an error if more was wanted; with --raw or --ignore-eos and no -n it is what
// ends the text.
int check_full(const RunChoice& choice, const Completion& completion,
               const Conversation& conversation) {
  if (completion.reason != StopReason::kContextFull) return 0;
  const int code =
      fail({ErrorCode::kUsage, "the context of " + std::to_string(conversation.facts().context) +
                                   " tokens is full and the text is not finished; a "
                                   "larger one: -c N"});
  return !choice.max_tokens && (conversation.raw() || choice.ignore_eos) ? 0 : code;
}

// Everything is open that an answer needs.
Result<void> close_sandbox(const RunChoice& choice) {
  tzset();  // chat templates tell the date
  if (choice.sandbox == "off" || enter_sandbox(Sandbox::kClosed) || choice.sandbox == "auto") {
    return {};
  }
  return Error{ErrorCode::kUnavailable,
               "--sandbox on: this system has no seccomp filters; --sandbox off does without"};
}

int answer_once(const RunChoice& choice, Conversation* conversation, const std::string& prompt) {
  AnswerWriter writer;
  const auto completion = conversation->ask(prompt, choice.json ? nullptr : &writer);
  if (!completion) {
    const int code = fail(completion.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  if (choice.stats) conversation->measure_bandwidth();
  const bool exact = choice.raw && isatty(STDOUT_FILENO) != 1;
  if (choice.json) {
    const auto json = completion_json(*completion, conversation->facts());
    writer.write(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  } else if (!exact) {
    writer.end_line();
  }
  if (choice.stats) std::fputs(stats_text(*completion, conversation->facts()).c_str(), stderr);
  if (const int code = signal_exit_code()) return code;
  if (writer.failed()) return 0;  // finish_output() says why
  return check_full(choice, *completion, *conversation);
}

Result<std::unique_ptr<Conversation>> open_conversation(const RunChoice& choice,
                                                        const Question& question) {
  const EngineOptions engine = choice.machine.engine_options();
  LoadOptions load = choice.machine.load_options();
  NIBBLE_TRY(LoadedModel loaded, load_model(question.model, engine, load));
  SessionOptions session_of = choice.machine.session_options();
  if (!choice.draft.empty()) {
    load.reserved_bytes = loaded.model->planned_bytes();
    NIBBLE_TRY(LoadedModel draft, load_model(choice.draft, loaded.engine, load));
    loaded.load_s += draft.load_s;
    session_of.draft = std::move(draft.model);
  }
  NIBBLE_TRY(auto session, Session::create(loaded.model, session_of));
  if (!choice.system.empty()) session->set_system(choice.system);
  const bool raw = choice.raw || !loaded.model->is_chat_model();
  if (raw && !choice.raw) {
    print_note(question.model + " has no chat template; its text is continued as with --raw");
  }
  return std::make_unique<Conversation>(std::move(loaded), std::move(session), raw, choice.sampling,
                                        generate_options(choice));
}

int run(const RunChoice& choice) {
  install_signal_handlers(2);
  const auto question = resolve_question(choice.source);
  if (!question) {
    const int code = fail(question.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  if (!question->prompt && (choice.json || choice.raw)) {
    return fail({ErrorCode::kUsage, "--raw and --json need a prompt; give one with -p"});
  }
  if (question->builtin) {
    std::fputs(
        "nibble: this is the built-in model: it tells short children's stories and knows "
        "nothing else.\nnibble: another one: nibble run MODEL.gguf\n",
        stderr);
  }
  const auto conversation = open_conversation(choice, *question);
  if (!conversation) {
    const int code = fail(conversation.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  const auto ready = [&choice] { return close_sandbox(choice); };
  if (!question->prompt) return chat(conversation->get(), choice.stats, ready);
  if (const auto closed = ready(); !closed) return fail(closed.error());
  return answer_once(choice, conversation->get(), *question->prompt);
}

CLI::Option* add_text(CLI::App* app, const char* names, std::string* out, const char* value,
                      const char* description) {
  return app->add_option(names, *out, description)
      ->type_name(value)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void add_prompt_options(CLI::App* app, RunChoice* choice) {
  app->add_option("MODEL", choice->first_word,
                  "A GGUF file or a name; without one the story model");
  app->add_option("PROMPT", choice->second_word);
  add_text(app, "-m,--model", &choice->source.model, "FILE",
           "The model; all words are then the prompt");
  add_text(app, "-p,--prompt", &choice->prompt, "TEXT",
           "The prompt; without one: standard input, or a chat")
      ->configurable(false);
  add_text(app, "-f,--file", &choice->source.file, "FILE",
           "Text from FILE (-: standard input) goes after the prompt")
      ->configurable(false);
  add_text(app, "--system", &choice->system, "TEXT",
           "Instructions to the model before the conversation");
  app->add_flag("--raw", choice->raw, "No chat form: print what follows the prompt, exactly");
}

void add_answer_options(CLI::App* app, RunChoice* choice) {
  add_whole(app, "-n,--max-tokens", &choice->max_tokens, kMaxTokensRange,
            "Longest answer (default: until the model ends it)");
  app->add_option("--stop", choice->stop, "End the answer before TEXT (can be repeated)")
      ->type_name("TEXT")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_flag("--ignore-eos", choice->ignore_eos, "Go on when the model would end");
  add_text(app, "--draft", &choice->draft, "FILE",
           "A smaller model that guesses tokens: same text, faster");
  app->add_flag("--no-lookup", choice->no_lookup, "Do not guess tokens from the text so far");
  app->add_flag("--json", choice->json, "Print text, token ids, log-probabilities, statistics");
  add_whole(app, "--logprobs", &choice->logprobs, {0, 1000},
            "With --json: the N likeliest tokens of each step");
  app->add_flag("--stats", choice->stats, "Print speed and memory to stderr");
  app->add_option("--sandbox", choice->sandbox,
                  "auto, on, off: no other files, no network once it is open")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->option_text("MODE");
}

}  // namespace

void add_run(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<RunChoice>();
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, or chat");
  add_prompt_options(command, choice.get());
  add_answer_options(command, choice.get());
  choice->machine.add_context_option(command);
  choice->machine.add_threads_option(command);
  choice->machine.add_options(command);
  choice->sampling.add_options(command);
  command->footer(R"(Examples:
  nibble run "Tell me a story about a cat."
  nibble run gemma-3-1b-it-q4_0.gguf
  git log -1 -p | nibble run gemma-3-1b-it-q4_0.gguf -p "Explain this:" -f -)");
  // CLI11 would take a prompt in brackets for a list, so words after the second come as extras.
  command->allow_extras();
  command->callback([choice, command, exit_code] {
    if (command->count("MODEL") > 0) choice->source.words.push_back(choice->first_word);
    if (command->count("PROMPT") > 0) choice->source.words.push_back(choice->second_word);
    for (const std::string& word : command->remaining()) {
      if (word.starts_with('-')) throw CLI::ExtrasError("run", {word});
      choice->source.words.push_back(word);
    }
    if (command->count("--prompt") > 0) choice->source.text = choice->prompt;
    const auto& flags = command->parse_order();
    choice->source.model_is_flag =
        std::find(flags.begin(), flags.end(), command->get_option("--model")) != flags.end();
    *exit_code = run(*choice);
  });
}

}  // namespace nibble::cli
