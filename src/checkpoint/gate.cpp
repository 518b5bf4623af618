// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/gate.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/verdict.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr const char* kHint = "evaluate the model again, or take the file away";
constexpr uint64_t kMaxGateBytes = uint64_t{64} << 20;

std::string verdict_of(const std::string& text) {
  const nlohmann::json json = parse_json(text);
  const auto found = json.is_object() ? json.find("verdict") : json.end();
  if (found == json.end() || !found->is_string())
    throw Error(ErrorKind::corrupt_data, "there is no \"verdict\" in it", kHint);
  auto verdict = found->get<std::string>();
  if (!is_verdict(verdict))
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("\"verdict\" is {}, it must be {}", shown(*found), fmt::join(kVerdicts, ", ")),
        kHint);
  return verdict;
}

}  // namespace

std::optional<Gate> load_gate(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / kGateFile;
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    Gate gate{.text = read_text_file(path, kMaxGateBytes), .verdict = {}};
    gate.verdict = verdict_of(gate.text);
    return gate;
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

}  // namespace veloz::checkpoint
