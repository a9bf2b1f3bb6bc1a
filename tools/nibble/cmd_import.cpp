// nibble import FILE [NAME]: takes a file into the store. Read next: hub/import.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "tools/nibble/command.h"
#include "tools/nibble/hub/import.h"
#include "tools/nibble/hub/places.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(The first file of a split model brings the others along. A copy
is checked and gets its name last; --link leaves the file where it is.

Examples:
  nibble import Downloads/gemma-3-1b-it-q4_0.gguf gemma
  nibble import /mnt/models/llama.gguf --link
  nibble run gemma)";

struct ImportChoice {
  std::string file;
  hub::ImportOptions options;
};

int import_file(ImportChoice* choice) {
  install_signal_handlers(3);
  ProgressBar bar("copying");
  choice->options.progress = [&bar](double fraction) {
    bar.update(fraction);
    return signal_exit_code() == 0;
  };
  const hub::Store store(hub::find_places().store);
  const auto model = hub::import_model(store, choice->file, choice->options);
  if (!model) {
    const int code = fail(model.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  std::fprintf(stderr, "nibble: imported %s (%s): nibble run %s\n", model->path.c_str(),
               human_bytes(model->bytes).c_str(), model->name.c_str());
  return 0;
}

}  // namespace

void add_import(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<ImportChoice>();
  CLI::App* command = app.add_subcommand("import", "Take a GGUF file into nibble's folder");
  command->add_option("FILE", choice->file, "A GGUF file on this machine")->required();
  command->add_option("NAME", choice->options.name, "What to call it (default: as the file)");
  command->add_flag("--link", choice->options.link, "Link to the file instead of copying it");
  command->footer(kExamples);
  command->callback([choice, exit_code] { *exit_code = import_file(choice.get()); });
}

}  // namespace nibble::cli
