// An answer in the form of /v1/responses: items of output, messages and calls of functions, as they
// come or whole. Read next: generation.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/nibble/serve/call_reader.h"
#include "tools/nibble/serve/generation.h"
#include "tools/nibble/serve/response_input.h"

namespace nibble::cli {

class ResponseForm final : public AnswerForm {
 public:
  ResponseForm(std::shared_ptr<Exchange> exchange, const GenerationRequest& request,
               ResponseEcho echo, const std::optional<CallForm>& calls, bool streams);

  bool streams() const override { return streams_; }
  void delta(size_t answer, const Delta& delta) override;
  void done(size_t answer, Completion completion) override;
  void all_done() override {}
  void failed(const ApiError& error) override;

 private:
  Json response(const char* status, Json output) const;
  void begin();
  void take(std::string_view text);
  void show(const std::vector<CallReader::Piece>& pieces);
  void open_message();
  void open_call(const std::string& name);
  void close_item(const char* status);
  Json in_item(Json more) const;
  Json in_part(Json more) const;
  void event(const char* type, const Json& fields);

  const std::shared_ptr<Exchange> exchange_;
  EventStream events_;
  const std::string model_name_;
  const ResponseEcho echo_;
  const SamplingOptions sampling_;
  const int64_t most_;
  const bool streams_;
  const std::string id_ = new_id("resp_");
  const int64_t created_ = unix_time();
  std::optional<CallReader> reader_;  // none: there are no tools
  bool begun_ = false;
  int number_ = 0;  // of events
  TokenCounts counts_;
  Json output_ = Json::array();  // items that are whole
  Json item_;                    // the one in the making; null: none
  std::string text_;             // its text, or arguments
};

}  // namespace nibble::cli
