#include "tools/nibble/help.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

namespace nibble::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kNameWidthMax = 26;
constexpr std::array<std::string_view, 20> kOrder = {
    "run",      "serve",   "pull",    "list",    "bench",    "perplexity", "compare",
    "quantize", "convert", "inspect", "cpu",     "plan",     "doctor",     "tune",
    "rm",       "show",    "import",  "imatrix", "tokenize", "synth"};
constexpr size_t kDescribed = 9;  // more would not fit on 24 lines: the others are named

struct Line {
  std::string name;
  std::string description;
};

// "MODEL"
std::string positional_name(const CLI::Option& option) {
  std::string name = option.get_name(true, false);
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// " N", or nothing for a flag.
std::string value_name(const CLI::Option& option) {
  if (option.get_type_size() == 0) return {};
  const std::string& text = option.get_option_text();
  return " " + (text.empty() ? option.get_type_name() : text);
}

// "  -n, --max-tokens N"; the long names of options without a short one stand below each other.
std::string option_name(const CLI::Option& option) {
  std::string name;
  for (const auto& letter : option.get_snames()) name += "-" + letter;
  name.resize(std::max<size_t>(name.size(), 2), ' ');
  for (const auto& word : option.get_lnames()) {
    name += (name[0] == '-' ? ", --" : "  --") + word;
  }
  return name + value_name(option);
}

std::string format_lines(const std::vector<Line>& lines) {
  size_t width = 0;
  for (const Line& line : lines) {
    if (line.name.size() <= kNameWidthMax) width = std::max(width, line.name.size());
  }
  std::string out;
  for (const Line& line : lines) {
    out += "  " + line.name;
    if (line.name.size() > width) out += "\n  " + std::string(width, ' ');
    if (line.name.size() <= width) out.append(width - line.name.size(), ' ');
    out += "  " + line.description + "\n";
  }
  return out;
}

std::string flow(const std::vector<std::string>& words) {
  std::string out;
  std::string line = "  ";
  for (const std::string& word : words) {
    if (line.size() + 2 + word.size() > kWidth) {
      out += line + "\n";
      line = "  ";
    }
    line += (line.size() > 2 ? "  " : "") + word;
  }
  return words.empty() ? out : out + line + "\n";
}

std::string group_text(const CLI::App& app, const std::string& group) {
  std::vector<Line> lines;
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    const bool is_help_of_command = app.get_parent() != nullptr && option == app.get_help_ptr();
    if (option->get_group() != group || option->get_positional() || is_help_of_command) continue;
    if (option->get_description().empty()) {
      words.push_back("--" + option->get_lnames().front() + value_name(*option));
    } else {
      lines.push_back({option_name(*option), option->get_description()});
    }
  }
  if (lines.empty() && words.empty()) return {};
  return "\n" + group + ":\n" + format_lines(lines) + flow(words);
}

std::string usage(const CLI::App& app) {
  std::string out = "Usage: nibble";
  if (app.get_parent() == nullptr) return out + " COMMAND [OPTIONS]\n";
  out += " " + app.get_name();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() || option->get_group().empty()) continue;
    const std::string name = positional_name(*option);
    out += option->get_required() ? " " + name : " [" + name + "]";
  }
  return out + " [OPTIONS]\n";
}

std::string positionals(const CLI::App& app) {
  std::vector<Line> lines;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() || option->get_description().empty()) continue;
    lines.push_back({positional_name(*option), option->get_description()});
  }
  return lines.empty() ? std::string() : "\n" + format_lines(lines);
}

}  // namespace

std::vector<const CLI::App*> ordered_commands(const CLI::App& app) {
  std::vector<const CLI::App*> commands = app.get_subcommands([](const CLI::App*) { return true; });
  const auto rank = [](const CLI::App* command) {
    return std::find(kOrder.begin(), kOrder.end(), command->get_name()) - kOrder.begin();
  };
  std::stable_sort(commands.begin(), commands.end(),
                   [&](const auto* a, const auto* b) { return rank(a) < rank(b); });
  return commands;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const {
  std::string out = usage(*app) + app->get_description() + "\n" + positionals(*app);
  std::vector<Line> commands;
  std::vector<std::string> others;
  for (const CLI::App* command : ordered_commands(*app)) {
    if (commands.size() < kDescribed) {
      commands.push_back({command->get_name(), command->get_description()});
    } else {
      others.push_back(command->get_name());
    }
  }
  if (!commands.empty()) out += "\nCommands:\n" + format_lines(commands) + flow(others);
  for (const std::string& group : app->get_groups()) {
    if (!group.empty()) out += group_text(*app, group);
  }
  if (!app->get_footer().empty()) out += "\n" + app->get_footer() + "\n";
  return out;
}

}  // namespace nibble::cli
