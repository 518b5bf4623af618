// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;
constexpr size_t kMaxShards = 1000;  // they are all open at once

/// "model-00001-of-00002.safetensors", nothing that leads elsewhere.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

/// File names of a directory, in order; none where it cannot be listed.
std::vector<std::string> list_files(const fs::path& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator item(dir, error), end; !error && item != end; item.increment(error))
    names.push_back(item->path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// As an argument of a shell.
std::string quoted_for_shell(const std::string& text) {
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "/._-+=:,@%") == std::string::npos)
    return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

void require_directory(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (status.type() == fs::file_type::not_found)
    throw Error(ErrorKind::not_found, fmt::format("\"{}\" does not exist", path.string()),
                "give the path of a model directory in Hugging Face layout");
  if (status.type() != fs::file_type::directory && status.type() != fs::file_type::none)
    throw Error(ErrorKind::invalid_input, fmt::format("\"{}\" is no directory", path.string()),
                "give the directory that holds config.json and the weights, not a file of it");
}

bool has_file(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

std::map<std::string, std::string> read_weight_index(const fs::path& path) {
  std::map<std::string, std::string> file_of;
  try {
    const nlohmann::json index = parse_json(read_text_file(path, kMaxIndexBytes));
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object() ||
        index["weight_map"].empty())
      throw Error(ErrorKind::corrupt_data, "it has no \"weight_map\", or an empty one",
                  "download the index again");
    std::set<std::string> files;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>()))
        throw Error(ErrorKind::corrupt_data,
                    fmt::format("tensor {} is said to be in {}, which is no plain file name",
                                shown(tensor), shown(file)),
                    "an index names files of its own directory");
      file_of[tensor] = file.get<std::string>();
      files.insert(file_of[tensor]);
    }
    if (files.size() > kMaxShards)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("it names {} files, at most {} are opened", files.size(), kMaxShards),
                  "download the index again, or merge its shards");
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
  return file_of;
}

void throw_no_weights(const fs::path& model_dir) {
  const std::vector<std::string> names = list_files(model_dir);
  for (const std::string& name : names)
    if (name.starts_with("pytorch_model") && name.ends_with(".bin"))
      throw Error(
          ErrorKind::unsupported,
          fmt::format(
              "\"{}\" is a PyTorch pickle, which can run code when it is opened; it was not read",
              (model_dir / name).string()),
          fmt::format("convert it: python3 scripts/convert_bin_to_safetensors.py {}",
                      quoted_for_shell(model_dir.string())));
  throw Error(ErrorKind::not_found,
              fmt::format("\"{}\" has no weights: neither model.safetensors nor "
                          "model.safetensors.index.json is among its {} files",
                          model_dir.string(), names.size()),
              "give a model directory in Hugging Face layout, or build with --load-format dummy");
}

}  // namespace veloz::checkpoint
