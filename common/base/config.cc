#include "common/base/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/toml.h"

namespace dotagent {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

std::string VariableOf(absl::string_view option) {
  return absl::StrCat("DOTAGENT_", absl::AsciiStrToUpper(absl::StrReplaceAll(option, {{"-", "_"}})));
}

absl::Status ParseInto(const std::string& text, std::string* target) {
  *target = text;
  return absl::OkStatus();
}

absl::Status ParseInto(const std::string& text, uint64_t* target) {
  // SimpleAtoi takes surrounding white space and a sign.
  if (!std::all_of(text.begin(), text.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(text, target)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a whole number from 0 to 2^64-1"));
  }
  return absl::OkStatus();
}

absl::Status ParseInto(const std::string& text, double* target) {
  if (!absl::SimpleAtod(text, target) || !std::isfinite(*target)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number; write one such as 0.2"));
  }
  return absl::OkStatus();
}

absl::Status ParseInto(const std::string& text, bool* target) {
  if (text != "true" && text != "false") {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
  }
  *target = text == "true";
  return absl::OkStatus();
}

absl::Status ParseInto(const std::string& text, absl::Duration* target) {
  absl::Duration parsed;
  if (!absl::ParseDuration(text, &parsed) || parsed < absl::ZeroDuration() || parsed == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a duration; write a number and a unit, such as 500ms, 10s, 5m or 24h"));
  }
  *target = parsed;
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxConfigBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() || file.bad()) {
    const bool too_large = static_cast<size_t>(file.gcount()) == text.size();
    return absl::InvalidArgumentError(
        absl::StrCat("--config: ", path,
                     too_large ? " is over 1 MiB and so no configuration file"
                               : " cannot be read; check that the file exists and may be read by this user"));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

struct OptionTable::Impl {
  struct Entry {
    std::string name;
    CLI::Option* option = nullptr;  // owned by `app`
    bool is_list = false;
    std::function<absl::Status(const std::vector<std::string>&)> set;
  };

  explicit Impl(const std::string& program_name, const std::string& description)
      : program(program_name), app(description, program_name) {}

  template <typename T>
  void AddScalar(const std::string& name, T* target, const std::string& help, const std::string& kind,
                 const std::string& initial) {
    CLI::Option* option = Register(name, help, kind, initial);
    entries.push_back({name, option, false,
                       [target](const std::vector<std::string>& values) { return ParseInto(values.front(), target); }});
  }

  CLI::Option* Register(const std::string& name, const std::string& help, const std::string& kind,
                        const std::string& initial) {
    CLI::Option* option = app.add_option(
        "--" + name, [](const CLI::results_t&) { return true; },
        absl::StrCat(help, "\n[", VariableOf(name), "; default: ", initial.empty() ? "none" : initial, "]"));
    option->type_name(kind)->expected(1);
    return option;
  }

  // Takes each option from the first of flag, variable and file that has it.
  absl::Status Assign() {
    ASSIGN_OR_RETURN(const std::vector<TomlEntry> file, LoadFile());
    for (const Entry& entry : entries) {
      const std::string variable = VariableOf(entry.name);
      const char* in_environment = std::getenv(variable.c_str());
      if (entry.option->count() > 0) {
        RETURN_IF_ERROR(WithContext(entry.set(entry.option->results()), absl::StrCat("--", entry.name)));
      } else if (in_environment != nullptr) {
        RETURN_IF_ERROR(WithContext(entry.set(FromVariable(entry, in_environment)), variable));
      } else {
        const auto found =
            std::find_if(file.begin(), file.end(), [&](const TomlEntry& line) { return line.key == entry.name; });
        if (found == file.end()) continue;
        const std::string where = absl::StrCat(config_path, " line ", found->line, ": ", entry.name);
        if (found->is_array && !entry.is_list) {
          return absl::InvalidArgumentError(absl::StrCat(where, " takes one value, not an array"));
        }
        RETURN_IF_ERROR(WithContext(entry.set(found->values), where));
      }
    }
    return absl::OkStatus();
  }

  static std::vector<std::string> FromVariable(const Entry& entry, absl::string_view value) {
    if (!entry.is_list) return {std::string(value)};
    return absl::StrSplit(value, ',', absl::SkipWhitespace());
  }

  absl::StatusOr<std::vector<TomlEntry>> LoadFile() {
    config_path.clear();
    if (config_option->count() > 0) {
      config_path = config_option->results().front();
    } else if (const char* variable = std::getenv("DOTAGENT_CONFIG"); variable != nullptr) {
      config_path = variable;
    }
    if (config_path.empty()) return std::vector<TomlEntry>();
    ASSIGN_OR_RETURN(const std::string text, ReadConfigFile(config_path));
    auto parsed = ParseToml(text);
    if (!parsed.ok()) return WithContext(parsed.status(), config_path);
    for (const TomlEntry& line : *parsed) {
      if (std::none_of(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.name == line.key; })) {
        return absl::InvalidArgumentError(absl::StrCat(config_path, " line ", line.line, ": there is no option '",
                                                       line.key, "'; ", program, " --help lists them"));
      }
    }
    return parsed;
  }

  std::string program;
  CLI::App app;
  CLI::Option* config_option = nullptr;
  std::string config_path;
  std::vector<Entry> entries;
  std::vector<std::string> examples;
};

OptionTable::OptionTable(const std::string& program, const std::string& description)
    : impl_(std::make_unique<Impl>(program, description)) {
  impl_->config_option = impl_->app.add_option(
      "--config", [](const CLI::results_t&) { return true; },
      "TOML file with these options as keys; a flag wins over a variable, a variable over the file\n[DOTAGENT_CONFIG]");
  impl_->config_option->type_name("FILE")->expected(1);
  impl_->app.set_version_flag("--version", absl::StrCat(program, " ", Version()), "Print the version and exit");
  impl_->app.set_help_flag("-h,--help", "Print this help and exit");
}

OptionTable::~OptionTable() = default;

void OptionTable::Add(const std::string& name, std::string* target, const std::string& help) {
  impl_->AddScalar(name, target, help, "TEXT", *target);
}

void OptionTable::Add(const std::string& name, uint64_t* target, const std::string& help) {
  impl_->AddScalar(name, target, help, "NUMBER", absl::StrCat(*target));
}

void OptionTable::Add(const std::string& name, double* target, const std::string& help) {
  impl_->AddScalar(name, target, help, "NUMBER", absl::StrCat(*target));
}

void OptionTable::Add(const std::string& name, absl::Duration* target, const std::string& help) {
  impl_->AddScalar(name, target, help, "DURATION", absl::FormatDuration(*target));
}

void OptionTable::Add(const std::string& name, bool* target, const std::string& help) {
  // A const lvalue: CLI11 takes any other string for a variable to bind.
  const std::string description =
      absl::StrCat(help, "\n[", VariableOf(name), "; default: ", *target ? "true" : "false", "]");
  CLI::Option* option = impl_->app.add_flag("--" + name, description);
  impl_->entries.push_back({name, option, false, [target](const std::vector<std::string>& values) {
                              return ParseInto(values.front(), target);
                            }});
}

void OptionTable::Add(const std::string& name, std::vector<std::string>* target, const std::string& help) {
  CLI::Option* option = impl_->Register(name, help, "TEXT ...", absl::StrJoin(*target, ","));
  option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  impl_->entries.push_back({name, option, true, [target](const std::vector<std::string>& values) {
                              *target = values;
                              return absl::OkStatus();
                            }});
}

void OptionTable::AddExample(const std::string& line) { impl_->examples.push_back(line); }

absl::StatusOr<bool> OptionTable::Parse(int argc, const char* const* argv) {
  if (!impl_->examples.empty()) {
    impl_->app.footer(absl::StrCat("Examples:\n  ", absl::StrJoin(impl_->examples, "\n  ")));
  }
  try {
    impl_->app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << impl_->app.help() << std::flush;
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << std::endl;
    return false;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; ", impl_->program, " --help lists the options"));
  }
  RETURN_IF_ERROR(impl_->Assign());
  return true;
}

std::string Version() { return DOTAGENT_VERSION; }

}  // namespace dotagent
