// POST /v1/responses: text in, text or calls of functions out, whole and as events. Nothing is
// stored. Read next: response_form.h, response_input.h.
#include <utility>

#include "tools/nibble/serve/json_schema.h"
#include "tools/nibble/serve/request.h"
#include "tools/nibble/serve/response_form.h"
#include "tools/nibble/serve/response_input.h"

namespace nibble::cli {

void responses(const Api& api, const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields fields(body);
  refuse_unoffered(fields, {"previous_response_id", "conversation", "background"});
  GenerationRequest request = read_generation(api, *exchange, fields);
  if (request.copies != 1) fields.wrong("n", "1");
  request.options.max_tokens =
      fields.whole("max_output_tokens", 1, kAnswerTokensMax).value_or(request.options.max_tokens);
  if (const Json* text = fields.object("text")) {
    if (const Json* format = Fields(*text, "text.").object("format")) {
      const Json wrapped = {{"response_format", *format}};
      request.grammar = read_response_format(Fields(wrapped));
    }
  }
  std::vector<ChatMessage> messages = read_response_input(fields);
  ResponseEcho echo = read_response_tools(fields);
  if (const auto text = fields.text("instructions")) {
    echo.instructions = *text;
    messages.insert(messages.begin(), {"system", *text});
  }
  request.prompts = {encode_messages(*request.model, std::move(messages), echo.use, "input")};
  std::optional<CallForm> calls;
  if (!echo.use.tools.empty()) {
    if (request.grammar != nullptr) refuse("tools and text.format exclude each other", "tools");
    calls = call_form(*request.model);
    request.grammar = call_grammar(echo.use, *calls);
  }
  const bool streams = fields.flag("stream").value_or(false);
  auto form = std::make_shared<ResponseForm>(exchange, request, std::move(echo), calls, streams);
  start_generation(exchange, std::move(request), std::move(form));
}

}  // namespace nibble::cli
