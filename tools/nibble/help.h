// How --help looks: short enough for a screen, commands in the order in which a person meets them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace nibble::cli {

// The commands in their order on the help page; unknown ones follow by name.
std::vector<const CLI::App*> ordered_commands(const CLI::App& app);

// Options with a description have a line each; those without flow together at the end of their
// group, which suits a set of well-known names.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace nibble::cli
