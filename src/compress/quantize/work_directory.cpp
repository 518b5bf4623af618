// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/work_directory.h"

#include <fmt/format.h>

#include <fstream>
#include <system_error>

#include "base/error.h"
#include "base/files.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxKeyBytes = 4096;

}  // namespace

WorkDirectory WorkDirectory::open(const fs::path& output, std::string_view key, bool restarts) {
  fs::path path = output;
  if (!path.has_filename()) path = path.parent_path();  // "dir/"
  path += ".unfinished";
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure)
    throw Error(ErrorKind::io,
                fmt::format("cannot make \"{}\": {}", path.string(), failure.message()),
                "check --output");
  const fs::path key_file = path / kKeyFile;
  if (!fs::exists(key_file) && !fs::is_empty(path))
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is in the way and was not made by this program", path.string()),
                "move it, or give another --output");
  std::ofstream(key_file, std::ios::app).close();  // made where it is not there
  WorkDirectory work(path);
  const std::string found = read_text_file(key_file, kMaxKeyBytes);
  if (found == key && !restarts) return work;
  // An empty one is of a command that ended before it wrote its key, and did any work.
  if (!found.empty() && !restarts)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds the unfinished work of another command: model, recipe, "
                            "options or calibration data differ",
                            path.string()),
                "give that command again to finish it, or drop it with --restart");
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (entry.path() != key_file) fs::remove_all(entry.path());
  write_text_file(key_file, key);
  return work;
}

void WorkDirectory::remove() const { fs::remove_all(path_); }

}  // namespace veloz::compress
