// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/work_directory.h"

#include <fmt/format.h>

#include <system_error>

#include "base/error.h"
#include "base/files.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKeyFile = "job.txt";  // what makes a directory one of ours
constexpr uint64_t kMaxKeyBytes = 4096;

}  // namespace

WorkDirectory WorkDirectory::open(const fs::path& output, std::string_view key, bool restarts) {
  fs::path path = output;
  if (!path.has_filename()) path = path.parent_path();  // "dir/"
  path += ".unfinished";
  std::error_code failure;
  // One that is empty is what a command left that ended before it wrote its key.
  if (fs::exists(path) && !fs::is_empty(path, failure)) {
    const fs::path key_file = path / kKeyFile;
    if (!fs::exists(key_file))
      throw Error(
          ErrorKind::invalid_input,
          fmt::format("\"{}\" is in the way and was not made by this program", path.string()),
          "move it, or give another --output");
    const bool is_same = read_text_file(key_file, kMaxKeyBytes) == key;
    if (is_same && !restarts) return WorkDirectory(path);
    if (!restarts)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("\"{}\" holds the unfinished work of another command: model, recipe, "
                              "options or calibration data differ",
                              path.string()),
                  "give that command again to finish it, or drop it with --restart");
    fs::remove_all(path);
  }
  fs::create_directories(path, failure);
  if (failure)
    throw Error(ErrorKind::io,
                fmt::format("cannot make \"{}\": {}", path.string(), failure.message()),
                "check --output");
  write_text_file(path / kKeyFile, key);
  return WorkDirectory(path);
}

void WorkDirectory::remove() const { fs::remove_all(path_); }

}  // namespace veloz::compress
