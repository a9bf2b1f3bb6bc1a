// nibble plan [MODEL|SHAPE]: what a model takes of memory, which context fits, and how fast it will
// be. Read next: planning.h, runtime/memory_plan.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/machine/probe.h"
#include "runtime/machine/topology.h"
#include "simd/registry.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/model_file.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/planning.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Without a model: Gemma 3 from 270M to 27B in the usual types.
Columns of numbers are context lengths; - is beyond what a model was trained for.

Examples:
  nibble plan gemma-3-1b-it-q4_0.gguf            before it is loaded
  nibble plan gemma3-4b --ram 8G                 before it is downloaded
  nibble plan --ram 16G --kv q8_0 --ctx 16384
  nibble plan --json | jq '.models[] | select(.fits) | .name + " " + .type')";

struct PlanCommand {
  std::string model;
  std::optional<int64_t> context;
  std::optional<uint64_t> ram;
  MachineChoice machine;  // of which kv, isa, head
  bool json = false;
};

// What is planned for.
struct Conditions {
  SessionOptions session;
  MemoryLimit limit;
  MachineSpeed speed;
};

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), value < 10 ? "%.1f" : "%.0f", value);
  return text;
}

std::string speed_text(std::optional<double> tokens_per_s) {
  return tokens_per_s ? fixed(*tokens_per_s) : "-";
}

Result<MachineSpeed> measure(const Topology& topology, CpuFeatures features) {
  MachineSpeed speed;
  speed.threads = topology.default_threads();
  NIBBLE_TRY(speed.read_gb_per_s, probe_read_gb_per_s(speed.threads));
  speed.int8_gmac_per_s = probe_int8_gmac_per_s(speed.threads, features);
  return speed;
}

// The shape named, or all of Gemma 3.
Result<std::vector<PlannedModel>> plan_shapes(const std::string& name, const KernelSet& kernels) {
  std::vector<PlannedModel> models;
  for (const SynthShape& shape : synth_shapes()) {
    const bool wanted = name.empty()
                            ? shape.name.starts_with("gemma3-") && shape.name != "gemma3-tiny"
                            : shape.name == name;
    if (!wanted) continue;
    for (const OfferedType& type : offered_types()) {
      NIBBLE_TRY(PlannedModel model, plan_shape(shape, type, kernels));
      models.push_back(std::move(model));
    }
  }
  return models;
}

// The session of a length, or nothing where the model cannot be asked for it.
std::optional<SessionMemory> session_of(const PlannedModel& model, SessionOptions options,
                                        int64_t context) {
  options.context = context;
  auto memory = session_memory(model.memory.shape, options);
  if (!memory) return std::nullopt;
  return *memory;
}

int64_t context_that_fits(const PlannedModel& model, const Conditions& conditions) {
  const uint64_t weights = model.memory.total();
  if (weights > conditions.limit.bytes) return 0;
  return largest_context(model.memory.shape, conditions.session, conditions.limit.bytes - weights);
}

Json model_json(const PlannedModel& model, const std::vector<int64_t>& contexts,
                const Conditions& conditions) {
  const ModelMemory& memory = model.memory;
  Json json = {{"name", model.name},
               {"type", model.type.empty() ? Json() : Json(model.type)},
               {"tensor_bytes", model.tensor_bytes},
               {"weight_bytes", memory.weights()},
               {"packed_bytes", memory.packed},
               {"in_place_bytes", memory.in_place},
               {"screen_bytes", memory.screen},
               {"float_bytes", memory.floats},
               {"text_bytes", memory.text},
               {"program_bytes", memory.program},
               {"on_demand_bytes", memory.on_demand},
               {"trained_context", memory.shape.context},
               {"largest_context", context_that_fits(model, conditions)},
               {"fits", context_that_fits(model, conditions) > 0},
               {"bytes_per_token", memory.decode_bytes},
               {"prompt_tokens_per_s", nullptr},
               {"contexts", Json::array()}};
  if (const auto prompt = expected_prompt(model, conditions.speed)) {
    json["prompt_tokens_per_s"] = *prompt;
  }
  for (const int64_t context : contexts) {
    const auto session = session_of(model, conditions.session, context);
    if (!session) continue;
    const uint64_t total = memory.total() + session->total();
    json["contexts"].push_back(
        {{"context", context},
         {"kv_bytes", session->kv},
         {"scratch_bytes", session->scratch},
         {"total_bytes", total},
         {"fits", total <= conditions.limit.bytes},
         {"decode_tokens_per_s", expected_decode(model, *session, context - 1, conditions.speed)}});
  }
  return json;
}

void print_json(const std::vector<PlannedModel>& models, const std::vector<int64_t>& contexts,
                const Conditions& conditions) {
  Json json = {{"limit_bytes", conditions.limit.bytes},
               {"threads", conditions.speed.threads},
               {"read_gb_per_s", conditions.speed.read_gb_per_s},
               {"int8_gmac_per_s", conditions.speed.int8_gmac_per_s},
               {"models", Json::array()}};
  for (const PlannedModel& model : models) {
    json["models"].push_back(model_json(model, contexts, conditions));
  }
  std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
}

void print_speed(const Conditions& conditions) {
  std::printf(
      "\nTokens/s are what to expect of %d threads of this machine, which read %.1f GB/s and\n"
      "multiply %.0f GMAC/s: decode at %.0f %% of the one, prompts at %.0f %% of the other.\n",
      conditions.speed.threads, conditions.speed.read_gb_per_s, conditions.speed.int8_gmac_per_s,
      100 * kDecodeShare, 100 * kPromptShare);
}

void print_matrix(const std::vector<PlannedModel>& models, const std::vector<int64_t>& contexts,
                  const Conditions& conditions) {
  std::printf("Memory of model and conversation; %s %s\n\n",
              std::string(conditions.limit.whose).c_str(),
              human_bytes(conditions.limit.bytes).c_str());
  std::vector<bool> right = {false, false, true, true};
  std::vector<std::string> heading = {"model", "type", "file", "weights"};
  for (const int64_t context : contexts) {
    right.push_back(true);
    heading.push_back(std::to_string(context));
  }
  for (const char* name : {"fits", "decode/s", "prompt/s"}) {
    right.push_back(true);
    heading.emplace_back(name);
  }
  Table table(right);
  table.add(heading);
  for (const PlannedModel& model : models) {
    std::vector<std::string> row = {model.name, model.type, human_bytes(model.tensor_bytes),
                                    human_bytes(model.memory.weights())};
    for (const int64_t context : contexts) {
      const auto session = session_of(model, conditions.session, context);
      row.push_back(session ? human_bytes(model.memory.total() + session->total()) : "-");
    }
    const int64_t fits = context_that_fits(model, conditions);
    row.push_back(fits > 0 ? std::to_string(fits) : "no");
    const auto session = session_of(model, conditions.session, 0);
    row.push_back(session ? fixed(expected_decode(model, *session, 0, conditions.speed)) : "-");
    row.push_back(speed_text(expected_prompt(model, conditions.speed)));
    table.add(row);
  }
  table.print();
  std::printf("\n\"fits\" is the longest context that does, with a %s KV cache.\n",
              std::string(format_info(session_of(models[0], conditions.session, 0)->kv_format).name)
                  .c_str());
  print_speed(conditions);
}

void print_file(const PlannedModel& model, const std::vector<int64_t>& contexts,
                const Conditions& conditions) {
  const ModelMemory& memory = model.memory;
  std::printf("%s: %zu layers, trained for %lld tokens\n\nMemory\n", model.name.c_str(),
              memory.shape.layers, static_cast<long long>(memory.shape.context));
  Table parts({false, true, false});
  parts.add({"weights, packed", human_bytes(memory.packed), ""});
  parts.add({"weights, in the file", human_bytes(memory.in_place), "read for each token"});
  if (memory.screen > 0) {
    parts.add({"screen of the output head", human_bytes(memory.screen), ""});
  }
  parts.add({"norms and biases", human_bytes(memory.floats), ""});
  parts.add({"vocabulary and program", human_bytes(memory.text + memory.program), "about"});
  parts.add({"without a conversation", human_bytes(memory.total()), ""});
  parts.add({"not counted: rows of the file", human_bytes(memory.on_demand),
             "read now and then, kept while there is room"});
  parts.print();

  std::printf("\nConversations\n");
  Table table({true, true, true, true, false, true});
  table.add({"context", "KV cache", "scratch", "total", "", "decode/s"});
  for (const int64_t context : contexts) {
    const auto session = session_of(model, conditions.session, context);
    if (!session) continue;
    const uint64_t total = memory.total() + session->total();
    table.add({std::to_string(context), human_bytes(session->kv), human_bytes(session->scratch),
               human_bytes(total), total <= conditions.limit.bytes ? "fits" : "too much",
               fixed(expected_decode(model, *session, context - 1, conditions.speed))});
  }
  table.print();
  const int64_t fits = context_that_fits(model, conditions);
  const std::string limit =
      std::string(conditions.limit.whose) + " " + human_bytes(conditions.limit.bytes);
  if (fits > 0) {
    std::printf("\nThe longest context that fits is %lld tokens: %s.\n",
                static_cast<long long>(fits), limit.c_str());
  } else {
    std::printf("\nNo context fits: %s.\n", limit.c_str());
  }
  if (const auto prompt = expected_prompt(model, conditions.speed)) {
    std::printf("Prompts are read at about %s tokens/s.\n", fixed(*prompt).c_str());
  }
  print_speed(conditions);
}

// Powers of two up to the trained length, which is the last.
std::vector<int64_t> contexts_of(const PlannedModel& model) {
  const int64_t trained = model.memory.shape.context;
  std::vector<int64_t> contexts;
  for (int64_t context = 2048; context < trained; context *= 2) contexts.push_back(context);
  contexts.push_back(trained);
  return contexts;
}

Result<void> plan(const PlanCommand& command) {
  CpuFeatures features = 0;
  std::string problem;
  if (!features_for_isa(command.machine.isa, detect_cpu_features(), &features, &problem)) {
    return Error{ErrorCode::kUsage, problem};
  }
  const KernelSet kernels(features);
  const Topology topology = detect_topology();
  const bool is_shape = command.model.empty() || (find_synth_shape(command.model) != nullptr &&
                                                  !std::filesystem::exists(command.model));
  Conditions conditions;
  conditions.session = command.machine.session_options();
  conditions.session.context = 0;
  conditions.limit =
      command.ram ? MemoryLimit{*command.ram, "--ram is"} : memory_limit(topology, 0);
  std::vector<PlannedModel> models;
  if (is_shape) {
    NIBBLE_TRY(models, plan_shapes(command.model, kernels));
  } else {
    NIBBLE_TRY(const std::string path, model_header(command.model));
    NIBBLE_TRY(PlannedModel model, plan_file(path, kernels, command.machine.load_options().head));
    if (path.ends_with(".part")) model.name = command.model;
    models.push_back(std::move(model));
  }
  std::vector<int64_t> contexts = {4096, 32768, 131072};
  if (!is_shape) contexts = contexts_of(models[0]);
  if (command.context) contexts = {*command.context};
  SessionOptions asked = conditions.session;  // what no model can be asked for is an error
  if (!is_shape && command.context) asked.context = *command.context;
  NIBBLE_TRY([[maybe_unused]] const SessionMemory checked,
             session_memory(models[0].memory.shape, asked));
  NIBBLE_TRY(conditions.speed, measure(topology, features));
  if (command.json) {
    print_json(models, contexts, conditions);
  } else if (is_shape) {
    print_matrix(models, contexts, conditions);
  } else {
    print_file(models[0], contexts, conditions);
  }
  return {};
}

}  // namespace

void add_plan(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<PlanCommand>();
  CLI::App* command =
      app.add_subcommand("plan", "Tell memory, longest context and speed before loading");
  command->add_option("MODEL", choice->model, "A GGUF file, a name, or a shape of `nibble synth`");
  add_whole(command, "-c,--ctx", &choice->context, {1, int64_t{1} << 24},
            "Tell about this context only");
  add_parsed(command, "--ram", &choice->ram, "Memory there is (default: this machine's)",
             parse_bytes)
      ->type_name("SIZE");
  command->add_flag("--json", choice->json, "Print everything as JSON");
  choice->machine.add_planned_options(
      command, "Machine (prompt batch, KV cache numbers, output head, instruction set)");
  command->footer(kExamples);
  command->callback([choice, exit_code] {
    const auto result = plan(*choice);
    *exit_code = result ? 0 : fail(result.error());
  });
}

}  // namespace nibble::cli
