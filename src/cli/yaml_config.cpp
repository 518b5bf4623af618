// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml_config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"

namespace veloz::cli {
namespace {

constexpr const char* kHint =
    "write `key: value` lines with the flags' names, such as `max-num-seqs: 8`";

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::invalid_input, fmt::format("{}: {}", path.string(), what), kHint);
}

YAML::Node load(const std::filesystem::path& path) {
  try {
    const YAML::Node document = YAML::LoadFile(path.string());
    if (!document.IsMap() && !document.IsNull()) fail(path, "it is not a map of keys to values");
    return document;
  } catch (const YAML::BadFile&) {
    fail(path, "it cannot be read");
  } catch (const YAML::Exception& e) {
    fail(path, e.what());
  }
}

std::vector<std::string> values_of(const YAML::Node& node, const std::string& key,
                                   const std::filesystem::path& path) {
  if (node.IsScalar()) return {node.Scalar()};
  std::vector<std::string> values;
  if (!node.IsSequence()) fail(path, fmt::format("\"{}\" has no value", key));
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) fail(path, fmt::format("\"{}\" is a list of more than values", key));
    values.push_back(item.Scalar());
  }
  return values;
}

CLI::Option* find_option(CLI::App& verb, const std::string& name) {
  CLI::Option* const option = verb.get_option_no_throw("--" + name);
  return option != nullptr ? option : verb.get_option_no_throw(name);  // of a positional
}

}  // namespace

void apply_yaml_config(CLI::App& verb, const std::filesystem::path& path) {
  for (const auto& entry : load(path)) {
    if (!entry.first.IsScalar()) fail(path, "a key is no name of a flag but a list, a map or null");
    std::string key = entry.first.as<std::string>();
    std::ranges::replace(key, '_', '-');
    CLI::Option* const option = find_option(verb, key);
    if (option == nullptr || key == "config" || key == "help")
      fail(path, fmt::format("\"{}\" is no flag of this verb", key));
    if (option->count() > 0) continue;
    try {
      for (const std::string& value : values_of(entry.second, key, path))
        option->add_result(
            option->get_items_expected_max() == 0 ? option->get_flag_value(key, value) : value);
      option->run_callback();
    } catch (const CLI::Error& e) {
      fail(path, fmt::format("\"{}\": {}", key, e.what()));
    }
  }
}

}  // namespace veloz::cli
