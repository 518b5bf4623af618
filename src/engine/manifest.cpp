// SPDX-License-Identifier: Apache-2.0
#include "engine/manifest.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/numeric.h"
#include "base/verdict.h"
#include "engine/file_names.h"
#include "engine/json_fields.h"
#include "engine/limits_json.h"

namespace veloz::engine {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxManifestBytes = size_t{64} << 20;
constexpr size_t kMaxManifestTextBytes = size_t{1} << 20;
constexpr size_t kMaxManifestNameBytes = 1024;
constexpr size_t kMaxFiles = 1024;
constexpr size_t kMaxItems = size_t{1} << 20;
constexpr int64_t kMaxFileBytes = int64_t{1} << 50;
constexpr int64_t kMaxCount = int64_t{1} << 31;
constexpr std::string_view kDummyAtLoad = "dummy-at-load";
constexpr std::string_view kChecksumKey = ",\n  \"checksum\": \"";

OrderedJson optional_json(const std::optional<int64_t>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson model_json(const ModelFacts& model) {
  return {{"architecture", model.architecture},
          {"name", model.name},
          {"dtype", to_string(model.dtype)},
          {"kv_cache_dtype", to_string(model.kv_cache_dtype)},
          {"num_layers", model.num_layers},
          {"hidden_size", model.hidden_size},
          {"num_heads", model.num_heads},
          {"num_kv_heads", model.num_kv_heads},
          {"head_dim", model.head_dim},
          {"vocab_size", model.vocab_size},
          {"num_parameters", model.num_parameters},
          {"eos_token_ids", model.eos_token_ids},
          {"bos_token_id", optional_json(model.bos_token_id)},
          {"pad_token_id", optional_json(model.pad_token_id)},
          {"generation_config", model.generation_config}};
}

DType parse_dtype(const JsonNode& node) {
  const std::optional<DType> dtype = try_parse_dtype(node.text(kMaxManifestNameBytes));
  if (!dtype) node.fail("not a dtype");
  return *dtype;
}

std::optional<int64_t> parse_token_id(const JsonNode& node) {
  if (node.is_null()) return std::nullopt;
  return node.integer(0, kMaxCount);
}

ModelFacts parse_model(const JsonNode& node) {
  node.expect_keys({"architecture", "name", "dtype", "kv_cache_dtype", "num_layers", "hidden_size",
                    "num_heads", "num_kv_heads", "head_dim", "vocab_size", "num_parameters",
                    "eos_token_ids", "bos_token_id", "pad_token_id", "generation_config"});
  ModelFacts model;
  model.architecture = node.at("architecture").text(kMaxManifestNameBytes);
  model.name = node.at("name").text(kMaxManifestNameBytes);
  model.dtype = parse_dtype(node.at("dtype"));
  model.kv_cache_dtype = parse_dtype(node.at("kv_cache_dtype"));
  model.num_layers = node.at("num_layers").integer(0, kMaxCount);
  model.hidden_size = node.at("hidden_size").integer(0, kMaxCount);
  model.num_heads = node.at("num_heads").integer(0, kMaxCount);
  model.num_kv_heads = node.at("num_kv_heads").integer(0, kMaxCount);
  model.head_dim = node.at("head_dim").integer(0, kMaxCount);
  model.vocab_size = node.at("vocab_size").integer(0, kMaxCount);
  model.num_parameters = node.at("num_parameters").integer(0, kMaxFileBytes);
  model.eos_token_ids = node.at("eos_token_ids").integers(0, kMaxCount, kMaxItems);
  model.bos_token_id = parse_token_id(node.at("bos_token_id"));
  model.pad_token_id = parse_token_id(node.at("pad_token_id"));
  model.generation_config = node.at("generation_config").text(kMaxManifestTextBytes);
  return model;
}

OrderedJson quantization_json(const QuantizationFacts& facts) {
  OrderedJson linears = OrderedJson::array();
  for (const auto& [scheme, count] : facts.linears)
    linears.push_back({{"scheme", scheme}, {"count", count}});
  return {{"name", facts.name}, {"linears", linears}};
}

QuantizationFacts parse_quantization(const JsonNode& node) {
  node.expect_keys({"name", "linears"});
  QuantizationFacts facts;
  facts.name = node.at("name").text(kMaxManifestNameBytes);
  for (const JsonNode& item : node.at("linears").items(kMaxItems)) {
    item.expect_keys({"scheme", "count"});
    facts.linears.emplace_back(item.at("scheme").text(kMaxManifestNameBytes),
                               item.at("count").integer(0, kMaxCount));
  }
  return facts;
}

std::string parse_verdict(const JsonNode& node) {
  std::string verdict = node.text(kMaxManifestNameBytes);
  if (!is_verdict(verdict)) node.fail(fmt::format("none of {}", fmt::join(kVerdicts, ", ")));
  return verdict;
}

uint64_t parse_checksum(const JsonNode& node) {
  const std::string text = node.text(kMaxManifestNameBytes);
  uint64_t checksum = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, checksum, 16);
  if (error != std::errc() || rest != end || text.size() != 16)
    node.fail("not 16 hexadecimal digits");
  return checksum;
}

FileRecord parse_file(const JsonNode& node) {
  node.expect_keys({"name", "bytes", "xxh3_64"});
  FileRecord record;
  record.name = node.at("name").text(kMaxManifestNameBytes);
  if (!is_engine_file_name(record.name) || record.name == kManifestFile)
    node.at("name").fail(
        "not a plain file name (letters, digits, \".\", \"_\", \"-\"; at most one folder)");
  record.bytes = static_cast<uint64_t>(node.at("bytes").integer(0, kMaxFileBytes));
  const std::vector<JsonNode> checksums = node.at("xxh3_64").items(kMaxItems);
  const uint64_t num_chunks = (record.bytes + kChecksumChunk - 1) / kChecksumChunk;
  if (checksums.size() != num_chunks)
    node.at("name").fail(fmt::format("with {} checksums, but its {} bytes have {} chunks",
                                     checksums.size(), record.bytes, num_chunks));
  for (const JsonNode& checksum : checksums) record.checksums.push_back(parse_checksum(checksum));
  return record;
}

std::vector<FileRecord> parse_files(const JsonNode& node, bool has_weights) {
  std::vector<FileRecord> files;
  std::set<std::string> names;
  for (const JsonNode& item : node.items(kMaxFiles)) {
    files.push_back(parse_file(item));
    if (!names.insert(files.back().name).second) item.at("name").fail("listed twice");
  }
  for (const std::string_view name : {kPlanFile, kGraphFile, kWeightsFile})
    if (!names.contains(std::string(name)) && (has_weights || name != kWeightsFile))
      throw Error(ErrorKind::corrupt_data, fmt::format("engine.json: \"files\" lacks \"{}\"", name),
                  kRebuildHint);
  return files;
}

/// "1.0" -> {1, 0}; refuses what this reader cannot know.
std::pair<int64_t, int64_t> parse_format(const JsonNode& node) {
  const std::string text = node.text(kMaxManifestNameBytes);
  int64_t major = 0;
  int64_t minor = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, major);
  const bool has_dot = first.ec == std::errc() && first.ptr != end && *first.ptr == '.';
  const auto second = has_dot ? std::from_chars(first.ptr + 1, end, minor) : first;
  if (!has_dot || second.ec != std::errc() || second.ptr != end || major < 0 || minor < 0)
    node.fail("not a version like \"1.0\"");
  if (major != kFormatMajor || minor > kFormatMinor)
    throw Error(ErrorKind::unsupported,
                fmt::format("engine format {}.{}, this veloz reads {}.0 to {}.{}", major, minor,
                            kFormatMajor, kFormatMajor, kFormatMinor),
                major < kFormatMajor ? "rebuild the engine with `veloz build`"
                                     : "rebuild the engine with `veloz build`, or upgrade veloz");
  return {major, minor};
}

/// The last key holds the checksum of all that stands before it.
void verify_own_checksum(std::string_view json, const JsonNode& node) {
  const uint64_t stored = parse_checksum(node);
  const size_t end = json.rfind(kChecksumKey);
  const uint64_t found = end == std::string_view::npos
                             ? ~stored
                             : xxh3_64(std::as_bytes(std::span(json.substr(0, end))));
  const std::string_view tail =
      end == std::string_view::npos ? "" : json.substr(end + kChecksumKey.size());
  if (found != stored || tail != fmt::format("{:016x}\"\n}}\n", stored))
    throw Error(ErrorKind::corrupt_data,
                "engine.json does not match its own checksum: it was changed after it was written",
                kRebuildHint);
}

}  // namespace

bool is_engine_file_name(std::string_view name) {
  constexpr size_t kMaxFileNameBytes = 128;
  const size_t slash = name.find('/');
  const std::string_view folder = slash == std::string_view::npos ? "" : name.substr(0, slash);
  const std::string_view file = slash == std::string_view::npos ? name : name.substr(slash + 1);
  if (slash != std::string_view::npos && folder != kTokenizerFolder) return false;
  if (file.empty() || file.front() == '.' || file.size() > kMaxFileNameBytes) return false;
  for (const char c : file) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!is_plain) return false;
  }
  return true;
}

std::string print_manifest(const Manifest& manifest) {
  std::vector<std::string> fields;
  const auto add = [&](std::string_view key, const OrderedJson& value) {
    fields.push_back(fmt::format("  \"{}\": {}", key, dump_line(value)));
  };
  const auto add_lines = [&](std::string_view key, const std::vector<OrderedJson>& values) {
    std::vector<std::string> lines;
    lines.reserve(values.size());
    for (const OrderedJson& value : values) lines.push_back("    " + dump_line(value));
    fields.push_back(lines.empty()
                         ? fmt::format("  \"{}\": []", key)
                         : fmt::format("  \"{}\": [\n{}\n  ]", key, fmt::join(lines, ",\n")));
  };
  add("format_version", fmt::format("{}.{}", manifest.format_major, manifest.format_minor));
  add("producer", manifest.producer);
  add("source_hash", manifest.source_hash);
  add("target", manifest.target);
  add("load_format", manifest.load_format);
  if (manifest.dummy_seed) add("dummy_seed", fmt::format("{:016x}", *manifest.dummy_seed));
  add("model", model_json(manifest.model));
  add("limits", limits_json(manifest.limits));
  if (manifest.quantization) add("quantization", quantization_json(*manifest.quantization));
  if (manifest.verdict) add("verdict", *manifest.verdict);
  add_lines("passes", {manifest.pass_reports.begin(), manifest.pass_reports.end()});
  std::vector<OrderedJson> files;
  for (const FileRecord& record : manifest.files) {
    OrderedJson checksums = OrderedJson::array();
    for (const uint64_t checksum : record.checksums)
      checksums.push_back(fmt::format("{:016x}", checksum));
    files.push_back({{"name", record.name}, {"bytes", record.bytes}, {"xxh3_64", checksums}});
  }
  add_lines("files", files);
  const std::string body = fmt::format("{{\n{}", fmt::join(fields, ",\n"));
  return fmt::format("{}{}{:016x}\"\n}}\n", body, kChecksumKey,
                     xxh3_64(std::as_bytes(std::span(body))));
}

Manifest parse_manifest(std::string_view json) {
  const JsonDocument document(json, kManifestFile, kMaxManifestBytes);
  const JsonNode root = document.root();
  Manifest manifest;
  // Before anything else: a newer format may have other keys.
  std::tie(manifest.format_major, manifest.format_minor) = parse_format(root.at("format_version"));
  root.expect_keys({"format_version", "producer", "source_hash", "target", "load_format",
                    "dummy_seed", "model", "limits", "quantization", "verdict", "passes", "files",
                    "checksum"});
  manifest.producer = root.at("producer").text(kMaxManifestNameBytes);
  manifest.source_hash = root.at("source_hash").text(kMaxManifestNameBytes);
  manifest.target = root.at("target").text(kMaxManifestNameBytes);
  manifest.load_format = root.at("load_format").text(kMaxManifestNameBytes);
  const bool is_made_at_load = manifest.load_format == kDummyAtLoad;
  if (manifest.load_format != "safetensors" && manifest.load_format != "dummy" && !is_made_at_load)
    root.at("load_format").fail("not \"safetensors\", \"dummy\" or \"dummy-at-load\"");
  if (is_made_at_load) manifest.dummy_seed = parse_checksum(root.at("dummy_seed"));
  manifest.model = parse_model(root.at("model"));
  manifest.limits = parse_limits(root.at("limits"));
  if (root.has("quantization")) manifest.quantization = parse_quantization(root.at("quantization"));
  if (root.has("verdict")) manifest.verdict = parse_verdict(root.at("verdict"));
  for (const JsonNode& item : root.at("passes").items(kMaxItems))
    manifest.pass_reports.push_back(item.text(kMaxManifestTextBytes));
  manifest.files = parse_files(root.at("files"), !is_made_at_load);
  verify_own_checksum(json, root.at("checksum"));
  return manifest;
}

}  // namespace veloz::engine
