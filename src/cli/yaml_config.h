// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace CLI {
class App;
}

namespace veloz::cli {

/// Gives the verb's flags that neither the command line nor the environment gave the values of a
/// YAML file: its keys are the flags' names without the dashes in front ("max-num-seqs: 8"), lists
/// are for flags that may be repeated. Throws Error(invalid_input) for a file that cannot be read,
/// an unknown key, and a value that the flag does not take.
void apply_yaml_config(CLI::App& verb, const std::filesystem::path& path);

}  // namespace veloz::cli
