#include "tools/nibble/serve/request.h"

#include "tools/nibble/serve/json_schema.h"

namespace nibble::cli {
namespace {

constexpr int64_t kCopiesMax = 16;
constexpr size_t kStopsMax = 16;

}  // namespace

void refuse_unoffered(const Fields& fields, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Json* value = fields.find(name);
    if (value == nullptr || *value == false || *value == "" || value->empty()) continue;
    refuse(std::string(name) + " is not offered by this server; leave it out", name);
  }
}

GenerationRequest read_generation(const Api& api, const Exchange& exchange, const Fields& fields) {
  GenerationRequest request;
  request.service = &api.models().find(fields.text("model"));
  request.model = api.load(*request.service, exchange);
  refuse_unoffered(fields, {"logit_bias", "audio", "prediction", "suffix", "functions"});
  GenerateOptions& options = request.options;
  options.sampling = read_sampling(fields, *request.model, request.service->context());
  options.max_tokens = fields.whole("max_tokens", 0, kAnswerTokensMax).value_or(-1);
  options.stop = fields.texts("stop", kStopsMax);
  request.grammar = read_response_format(fields);
  options.ignore_end = fields.flag("ignore_eos").value_or(false);
  request.copies = static_cast<size_t>(fields.whole("n", 1, kCopiesMax).value_or(1));
  return request;
}

StreamChoice read_stream(const Fields& fields) {
  StreamChoice choice = {fields.flag("stream").value_or(false), false};
  if (const Json* options = fields.object("stream_options")) {
    if (!choice.streams) refuse("stream_options needs stream: true", "stream_options");
    choice.usage = Fields(*options, "stream_options.").flag("include_usage").value_or(false);
  }
  return choice;
}

std::vector<int32_t> read_tokens(const Json& list, const Model& model, size_t most,
                                 const std::string& name) {
  if (!list.is_array() || list.size() > most) {
    refuse(name + " must be a list of at most " + std::to_string(most) + " token ids", name);
  }
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& element : list) {
    const bool is_id = element.is_number_unsigned() &&
                       element.get<uint64_t>() < static_cast<uint64_t>(model.vocabulary_size());
    if (!is_id) {
      refuse(name + " holds " + dump(element).substr(0, 40) + "; ids are whole numbers below " +
                 std::to_string(model.vocabulary_size()),
             name);
    }
    ids.push_back(static_cast<int32_t>(element.get<uint64_t>()));
  }
  return ids;
}

}  // namespace nibble::cli
