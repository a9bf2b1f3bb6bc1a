#include "tools/nibble/comparison.h"

#include <cmath>

#include "runtime/file/concat.h"
#include "tools/nibble/command.h"
#include "tools/nibble/judging.h"
#include "tools/nibble/table.h"

namespace nibble::cli {
namespace {

// "50 +- 12 %"; "-" where there was nothing to win back.
std::string won_back_cell(const std::optional<Estimate>& won) {
  if (!won || std::isnan(won->value)) return "-";
  return concat(formatted("%.0f", 100 * won->value), " +- ",
                formatted("%.0f %%", 100 * won->error));
}

}  // namespace

nlohmann::ordered_json comparison_json(const std::vector<ComparedModel>& models) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const ComparedModel& model : models) {
    nlohmann::ordered_json row = {{"model", model.name},
                                  {"file_bytes", model.file_bytes},
                                  {"bits_per_weight", model.bits_per_weight},
                                  {"perplexity", model.perplexity.value},
                                  {"stderr", model.perplexity.error},
                                  {"kl", nullptr},
                                  {"won_back", nullptr},
                                  {"won_back_stderr", nullptr},
                                  {"prompt_tokens_per_s", model.prompt_tokens_per_s},
                                  {"decode_tokens_per_s", model.decode_tokens_per_s}};
    if (model.divergence) row["kl"] = divergence_json(*model.divergence);
    if (model.won_back && !std::isnan(model.won_back->value)) {
      row["won_back"] = model.won_back->value;
      row["won_back_stderr"] = model.won_back->error;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void print_comparison(const std::vector<ComparedModel>& models, bool markdown) {
  const bool three = models.size() > 2;
  std::vector<std::string> titles = {"model",   "size", "bits/weight", "perplexity", "+-",
                                     "KL mean", "+-",   "KL 99 %",     "same top"};
  if (three) titles.emplace_back("won back");
  titles.insert(titles.end(), {"prompt t/s", "decode t/s"});
  std::vector<bool> right(titles.size(), true);
  right[0] = false;
  Table table(std::move(right));
  table.add(std::move(titles));
  for (const ComparedModel& model : models) {
    std::vector<std::string> cells = {
        model.name, human_bytes(model.file_bytes), formatted("%.2f", model.bits_per_weight),
        formatted("%.4f", model.perplexity.value), formatted("%.4f", model.perplexity.error)};
    if (const auto& d = model.divergence) {
      cells.insert(cells.end(),
                   {formatted("%.5f", d->mean.value), formatted("%.5f", d->mean.error),
                    formatted("%.4f", d->p99), formatted("%.2f %%", 100 * d->same_top.value)});
    } else {
      cells.insert(cells.end(), 4, "-");
    }
    if (three) cells.push_back(won_back_cell(model.won_back));
    cells.push_back(formatted("%.1f", model.prompt_tokens_per_s));
    cells.push_back(formatted("%.1f", model.decode_tokens_per_s));
    table.add(std::move(cells));
  }
  markdown ? table.print_markdown() : table.print();
}

std::vector<std::string> won_back_text(const std::vector<ComparedModel>& models) {
  std::vector<std::string> lines;
  const ComparedModel& reference = models.front();
  const ComparedModel& plain = models.back();
  for (const ComparedModel& model : models) {
    if (!model.won_back) continue;
    const double loss = plain.perplexity.value - reference.perplexity.value;
    if (std::isnan(model.won_back->value)) {
      lines.push_back(concat(plain.name, " loses no perplexity against ", reference.name,
                             " on this text: there is nothing to win back."));
    } else if (model.perplexity.value < reference.perplexity.value) {
      lines.push_back(concat(model.name, " predicts this text better than ", reference.name,
                             " itself: it wins back all that ", plain.name, " loses (",
                             formatted("%.4f", loss), ") and ",
                             formatted("%.4f", reference.perplexity.value - model.perplexity.value),
                             " more, which is its own training's."));
    } else if (model.won_back->value < 0) {
      lines.push_back(concat(model.name, " wins nothing back: it loses more perplexity than ",
                             plain.name, " does."));
    } else {
      lines.push_back(concat(model.name, " wins back ", won_back_cell(model.won_back),
                             " of the perplexity that ", plain.name, " loses against ",
                             reference.name, " (", formatted("%.4f", loss), ")."));
    }
  }
  return lines;
}

}  // namespace nibble::cli
