// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "engine/checksum.h"
#include "engine/file_names.h"
#include "engine/json_fields.h"

namespace veloz::engine {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{256} << 20;

/// Reads a file that the manifest lists, with the manifest's size and checksum.
std::string read_recorded(const std::filesystem::path& directory, const FileRecord& record) {
  const File file = File::open(directory / record.name);
  verify_size(file.size(), record);
  if (file.size() > kMaxTextBytes)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} has {}, at most {} are read", record.name,
                            format_bytes(file.size()), format_bytes(kMaxTextBytes)),
                kRebuildHint);
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  verify_text(text, record);
  return text;
}

const FileRecord& find_record(const Manifest& manifest, std::string_view name) {
  const auto found = std::ranges::find(manifest.files, name, &FileRecord::name);
  VELOZ_CHECK(found != manifest.files.end(), "engine.json was parsed without \"{}\"", name);
  return *found;
}

Manifest open_manifest(const std::filesystem::path& directory) {
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (!std::filesystem::exists(status))
    throw Error(ErrorKind::not_found, fmt::format("\"{}\" does not exist", directory.string()),
                "give the directory that `veloz build` wrote");
  if (!std::filesystem::is_directory(status))
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is not a directory", directory.string()),
                "an engine is a directory; give the one that `veloz build` wrote");
  if (!std::filesystem::exists(directory / kManifestFile, error))
    throw Error(ErrorKind::not_found,
                fmt::format("\"{}\" is no engine: it has no engine.json", directory.string()),
                "build one with `veloz build MODEL_DIR -o ENGINE_DIR`");
  return parse_manifest(read_text_file(directory / kManifestFile, kMaxTextBytes));
}

/// Of weights that lie nowhere: their sizes.
std::vector<WeightRange> plain_ranges(const Plan& plan) {
  std::vector<WeightRange> ranges;
  uint64_t offset = 0;
  for (const PlanWeight& weight : plan.weights) {
    const size_t bytes =
        static_cast<size_t>(weight.shape.num_elements()) * dtype_bytes(weight.dtype);
    ranges.push_back({offset, bytes});
    offset += bytes;
  }
  return ranges;
}

/// What manifest and plan both say must agree.
void verify_agreement(const Manifest& manifest, const Plan& plan) {
  const auto refuse = [](std::string message) {
    throw Error(ErrorKind::corrupt_data, std::move(message), kRebuildHint);
  };
  if (!(manifest.limits == plan.limits)) refuse("engine.json and plan.json have different limits");
  for (const Program& program : plan.programs) {
    if (program.name != "step") continue;
    const int64_t columns =
        program.values[static_cast<size_t>(program.outputs[0])].type.dims[1].value;
    if (columns != manifest.model.vocab_size)
      refuse(fmt::format("engine.json: \"model.vocab_size\" is {}, plan.json gives {} logits",
                         manifest.model.vocab_size, columns));
  }
}

}  // namespace

Engine::Engine(std::filesystem::path directory, Manifest manifest, Plan plan,
               std::optional<File> weights_file)
    : directory_(std::move(directory)),
      manifest_(std::move(manifest)),
      plan_(std::move(plan)),
      weights_file_(std::move(weights_file)),
      weight_ranges_(weights_file_ ? find_weights(*weights_file_, plan_) : plain_ranges(plan_)),
      by_offset_(weight_ranges_.size()) {
  std::iota(by_offset_.begin(), by_offset_.end(), size_t{0});
  std::ranges::sort(by_offset_, {}, [&](size_t weight) { return weight_ranges_[weight].offset; });
}

bool Engine::is_engine(const std::filesystem::path& directory) {
  std::error_code error;
  return std::filesystem::is_regular_file(directory / kManifestFile, error);
}

Engine Engine::open(const std::filesystem::path& directory) {
  try {
    Manifest manifest = open_manifest(directory);
    Plan plan = parse_plan(read_recorded(directory, find_record(manifest, kPlanFile)));
    verify_agreement(manifest, plan);
    for (const FileRecord& record : manifest.files)
      if (record.name != kPlanFile && record.name != kWeightsFile) read_recorded(directory, record);
    std::optional<File> weights;
    if (!manifest.dummy_seed) {
      weights = File::open(directory / kWeightsFile);
      verify_size(weights->size(), find_record(manifest, kWeightsFile));
    }
    return Engine(directory, std::move(manifest), std::move(plan), std::move(weights));
  } catch (Error& e) {
    e.add_context(fmt::format("opening the engine \"{}\"", directory.string()));
    throw;
  }
}

const FileRecord& Engine::record(std::string_view name) const {
  return find_record(manifest_, name);
}

std::string Engine::graph_text() const { return read_recorded(directory_, record(kGraphFile)); }

size_t Engine::weight_bytes(size_t weight) const { return weight_ranges_.at(weight).bytes; }

void Engine::read_weights(std::span<std::byte* const> to, ThreadPool& pool) const {
  VELOZ_CHECK(to.size() == weight_ranges_.size(), "{} places for {} weights", to.size(),
              weight_ranges_.size());
  const FileRecord& file = record(kWeightsFile);
  try {
    for_each_chunk(pool, file.checksums.size(), [&](size_t chunk, int) {
      if (is_wanted(chunk, to)) read_chunk(chunk, to);
    });
  } catch (Error& e) {
    e.add_context(fmt::format("loading the engine \"{}\"", directory_.string()));
    throw;
  }
}

/// The first weight that ends behind byte `at` of the file.
std::vector<size_t>::const_iterator Engine::first_weight_behind(uint64_t at) const {
  return std::ranges::partition_point(by_offset_, [&](size_t weight) {
    return weight_ranges_[weight].offset + weight_ranges_[weight].bytes <= at;
  });
}

/// What belongs to no weight is read with all of them.
bool Engine::is_wanted(size_t chunk, std::span<std::byte* const> to) const {
  const uint64_t begin = chunk * kChecksumChunk;
  if (std::ranges::none_of(to, [](const std::byte* place) { return place == nullptr; }))
    return true;
  for (auto next = first_weight_behind(begin);
       next != by_offset_.end() && weight_ranges_[*next].offset < begin + kChecksumChunk; ++next)
    if (to[*next] != nullptr) return true;
  return false;
}

/// A chunk holds the end of one weight, whole ones, the start of another, and gaps between them
/// that are hashed only.
void Engine::read_chunk(size_t chunk, std::span<std::byte* const> to) const {
  const FileRecord& file = record(kWeightsFile);
  const uint64_t chunk_end = std::min((chunk + 1) * kChecksumChunk, file.bytes);
  uint64_t at = chunk * kChecksumChunk;
  std::vector<std::byte> gap;
  ChunkHasher hasher;
  const auto read_until = [&](uint64_t end, std::byte* place) {
    while (at < end) {
      const auto bytes = static_cast<size_t>(std::min<uint64_t>(end - at, kPieceBytes));
      if (place == nullptr) gap.resize(std::max(gap.size(), bytes));
      const std::span piece(place == nullptr ? gap.data() : place, bytes);
      weights_file_->read(at, piece);
      hasher.update(piece);
      at += bytes;
      if (place != nullptr) place += bytes;
    }
  };
  for (auto next = first_weight_behind(at);
       next != by_offset_.end() && weight_ranges_[*next].offset < chunk_end; ++next) {
    const WeightRange& range = weight_ranges_[*next];
    read_until(range.offset, nullptr);  // where the chunk starts inside the weight, nothing
    if (to[*next] == nullptr) continue;
    read_until(std::min(range.offset + range.bytes, chunk_end), to[*next] + (at - range.offset));
  }
  read_until(chunk_end, nullptr);
  if (hasher.digest() != file.checksums[chunk])
    throw_damaged_chunk(file, chunk, weights_of_chunk(chunk));
}

std::string Engine::weights_of_chunk(size_t chunk) const {
  constexpr size_t kMaxNames = 4;
  const uint64_t begin = chunk * kChecksumChunk;
  std::vector<std::string> names;
  size_t num_weights = 0;
  for (const size_t weight : by_offset_) {
    const WeightRange& range = weight_ranges_[weight];
    if (range.offset >= begin + kChecksumChunk || range.offset + range.bytes <= begin) continue;
    if (++num_weights <= kMaxNames) names.push_back(quote_text(plan_.weights[weight].name));
  }
  if (num_weights == 0) return "";
  return fmt::format(
      "weights {}{}", fmt::join(names, ", "),
      num_weights > kMaxNames ? fmt::format(" and {} more", num_weights - kMaxNames) : "");
}

void Engine::verify_checksums(ThreadPool& pool) const {
  try {
    for (const FileRecord& file : manifest_.files)
      verify_file(File::open(directory_ / file.name), file, pool);
  } catch (Error& e) {
    e.add_context(fmt::format("verifying the engine \"{}\"", directory_.string()));
    throw;
  }
}

}  // namespace veloz::engine
