// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/write_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/path_lock.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/formats/linear_layout.h"
#include "checkpoint/formats/quantization_json.h"
#include "checkpoint/formats/scheme_rules.h"
#include "checkpoint/json_text.h"
#include "checkpoint/model_files.h"
#include "checkpoint/quantized_model.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kPartsFolder = "parts";
constexpr const char* kKeyFile = "parts/key";
// Metadata of the files of parts.
constexpr const char* kModuleKey = "module";
constexpr const char* kLinearKey = "linear";
constexpr uint64_t kMaxKeyBytes = uint64_t{1} << 20;

[[noreturn]] void throw_io(std::string_view what, const fs::path& path, int error) {
  throw Error(ErrorKind::io,
              fmt::format("cannot {} \"{}\": {}", what, path.string(), std::strerror(error)),
              error == ENOSPC || error == EDQUOT || error == EFBIG
                  ? "free some space, or write to another disk"
                  : "check the permissions of the directory");
}

/// What the file system refuses as an Error(io).
template <typename F>
auto with_io_errors(const F& f) {
  try {
    return f();
  } catch (const fs::filesystem_error& e) {
    throw_io("write to", e.path1(), e.code().value());
  }
}

fs::path normalized(const fs::path& directory) {
  const fs::path path = fs::weakly_canonical(fs::absolute(directory));
  return path.has_filename() ? path : path.parent_path();
}

void check_output(const fs::path& output, const fs::path& source,
                  CheckpointWriter::Existing existing) {
  if (output == source)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is the model that is read", output.string()),
                "give another output");
  if (std::ranges::mismatch(output, source).in1 == output.end())
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds the model that is read", output.string()),
                "give another output");
  if (!fs::exists(fs::symlink_status(output))) return;
  if (!fs::is_directory(output))
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" exists and is not a directory", output.string()),
                "give the name of a new directory");
  if (fs::is_empty(output)) return;
  if (!has_file(output / kConfigFile))
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("\"{}\" exists and is no model, so it is not replaced", output.string()),
        "give the name of a new directory, or remove this one");
  if (existing == CheckpointWriter::Existing::refuse)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds a model already", output.string()),
                "give another name, or replace it (--force)");
}

/// Renames `from`, on the same file system, to `to`; what is there is removed only then.
void replace_directory(const fs::path& from, const fs::path& to) {
  const fs::path old = from.string() + ".old";
  fs::remove_all(old);
  if (fs::exists(to)) fs::rename(to, old);
  fs::rename(from, to);
  sync_directory(to.parent_path());
  fs::remove_all(old);
}

/// Weights in any form, and what is written anew.
bool is_replaced(const fs::path& file) {
  static constexpr std::array<std::string_view, 9> kWeightEndings = {
      ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".index.json"};
  const std::string name = file.filename().string();
  return name == kConfigFile || name.starts_with(".") ||
         std::ranges::any_of(kQuantConfigFiles,
                             [&](const QuantConfigFile& known) { return name == known.name; }) ||
         std::ranges::any_of(kWeightEndings,
                             [&](std::string_view ending) { return name.ends_with(ending); });
}

void copy_other_files(const fs::path& source, const fs::path& to) {
  for (const fs::directory_entry& entry : fs::directory_iterator(source))
    if (entry.is_regular_file() && !is_replaced(entry.path()))
      fs::copy_file(entry.path(), to / entry.path().filename(),
                    fs::copy_options::overwrite_existing);
}

nlohmann::ordered_json read_config(const fs::path& source) {
  const fs::path path = source / kConfigFile;
  const std::string text = read_text_file(path, kMaxConfigBytes);
  const nlohmann::json checked = parse_json(text);
  if (!checked.is_object())
    throw Error(ErrorKind::corrupt_data, fmt::format("\"{}\" is no JSON object", path.string()),
                "download it again");
  if (checked.contains("quantization_config") && !checked["quantization_config"].is_null())
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is quantized already", source.string()),
                "give the model as it was before its quantization");
  return nlohmann::ordered_json::parse(text);
}

}  // namespace

/// A file of `parts`: one linear, or one tensor, already as it will be in the end.
struct CheckpointWriter::State {
  struct Part {
    SafetensorsFile file;
    std::optional<WrittenLinear> linear;
  };

  explicit State(Options options_in)
      : options(std::move(options_in)),
        source(Checkpoint::open(options.source)),
        config(read_config(options.source)) {}
  ~State() {
    std::error_code error;
    if (!is_committed && options.resume_key.empty()) fs::remove_all(partial, error);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void make_partial_directory();
  void find_parts();
  void add_part(const std::string& name, std::span<const TensorToWrite> tensors,
                const std::optional<WrittenLinear>& linear);
  std::vector<TensorToWrite> all_tensors(const Finish& finish) const;
  void add_kv_scales(const Finish& finish, std::vector<TensorToWrite>& tensors) const;
  std::vector<std::string> unquantized_linears() const;
  void write_shards(const std::vector<TensorToWrite>& tensors, const ProgressSink& progress) const;
  void write_configs(const Finish& finish);
  void move_into_place();

  Options options;
  Checkpoint source;
  nlohmann::ordered_json config;
  fs::path partial;
  std::optional<PathLock> lock;
  std::mutex mutex;                                // of parts, until commit
  std::map<std::string, Part, std::less<>> parts;  // by module, or by tensor
  bool is_committed = false;
};

void CheckpointWriter::State::make_partial_directory() {
  partial = options.output.parent_path() /
            fmt::format(".veloz-partial-{}", options.output.filename().string());
  fs::create_directories(partial);
  lock.emplace(partial);
  const fs::path key_file = partial / kKeyFile;
  const bool is_resumed = !options.resume_key.empty() && has_file(key_file) &&
                          read_text_file(key_file, kMaxKeyBytes) == options.resume_key;
  if (is_resumed) return find_parts();
  for (const fs::directory_entry& entry : fs::directory_iterator(partial))
    fs::remove_all(entry.path());
  fs::create_directory(partial / kPartsFolder);
  write_text_file(key_file, options.resume_key);
}

void CheckpointWriter::State::find_parts() {
  for (const fs::directory_entry& entry : fs::directory_iterator(partial / kPartsFolder)) {
    if (entry.path().extension() != ".safetensors") continue;
    SafetensorsFile file = SafetensorsFile::open(entry.path());
    const auto& metadata = file.metadata();
    const auto name = metadata.find(kModuleKey);
    if (name == metadata.end()) continue;
    std::optional<WrittenLinear> linear;
    if (const auto scheme = metadata.find(kLinearKey); scheme != metadata.end())
      linear = written_linear_from(nlohmann::json::parse(scheme->second));
    const std::string key = name->second;
    parts.insert_or_assign(key, Part{std::move(file), std::move(linear)});
  }
}

void CheckpointWriter::State::add_part(const std::string& name,
                                       std::span<const TensorToWrite> tensors,
                                       const std::optional<WrittenLinear>& linear) {
  StreamHasher hasher;  // of a name that may hold anything
  hasher.update(name);
  const fs::path path = partial / kPartsFolder / fmt::format("{}.safetensors", hasher.hex_digest());
  const fs::path unfinished = path.string() + ".unfinished";
  std::map<std::string, std::string> metadata = {{kModuleKey, name}};
  if (linear) metadata[kLinearKey] = to_json(*linear).dump();
  write_safetensors(unfinished, tensors, metadata, {});
  fs::rename(unfinished, path);
  const std::scoped_lock hold(mutex);
  parts.insert_or_assign(name, Part{SafetensorsFile::open(path), linear});
}

/// Everything the result holds, by name.
std::vector<TensorToWrite> CheckpointWriter::State::all_tensors(const Finish& finish) const {
  std::vector<TensorToWrite> tensors;
  std::set<std::string, std::less<>> replaced;
  for (const auto& [name, part] : parts) {
    replaced.insert(part.linear ? name + ".weight" : name);
    for (const auto& tensor : part.file.tensors()) {
      const TensorEntry& entry = tensor.second;
      const SafetensorsFile& file = part.file;
      const auto rows = static_cast<uint64_t>(entry.shape.rank() == 0 ? 1 : entry.shape[0]);
      tensors.push_back({tensor.first, std::string(entry.dtype_name), entry.shape, entry.bytes,
                         [&file, &entry, row_bytes = entry.bytes / rows](int64_t begin, int64_t,
                                                                         std::span<std::byte> to) {
                           file.read(entry, static_cast<uint64_t>(begin) * row_bytes, to);
                         }});
    }
  }
  for (const std::string_view name : source.names()) {
    if (replaced.contains(name)) continue;
    const TensorEntry& entry = source.entry(name);
    tensors.push_back({std::string(name), std::string(entry.dtype_name), entry.shape, entry.bytes,
                       [this, name](int64_t begin, int64_t end, std::span<std::byte> to) {
                         source.read_rows(name, begin, end, to);
                       }});
  }
  add_kv_scales(finish, tensors);
  std::ranges::sort(tensors, {}, &TensorToWrite::name);
  return tensors;
}

void CheckpointWriter::State::add_kv_scales(const Finish& finish,
                                            std::vector<TensorToWrite>& tensors) const {
  if (!finish.kv_cache) return;
  const bool is_modelopt = options.format == QuantFormat::modelopt;
  const auto add = [&](std::string name, double scale) {
    tensors.push_back(
        {std::move(name), "F32", is_modelopt ? Shape{} : Shape{1}, sizeof(float),
         [value = static_cast<float>(scale)](int64_t, int64_t, std::span<std::byte> to) {
           std::memcpy(to.data(), &value, sizeof(value));
         }});
  };
  constexpr std::string_view kEnding = ".k_proj.weight";
  size_t num_found = 0;
  for (size_t layer = 0; layer < finish.kv_scales.size(); ++layer) {
    const std::string number = fmt::format(".{}.", layer);
    for (const std::string_view name : source.names()) {
      if (!name.ends_with(kEnding) || name.find(number) == std::string_view::npos) continue;
      const std::string attention(name.substr(0, name.size() - kEnding.size()));
      add(attention + (is_modelopt ? ".k_proj.k_scale" : ".k_scale"), finish.kv_scales[layer].k);
      add(attention + (is_modelopt ? ".v_proj.v_scale" : ".v_scale"), finish.kv_scales[layer].v);
      ++num_found;
    }
  }
  VELOZ_CHECK(num_found == finish.kv_scales.size(), "{} attention layers for {} pairs of scales",
              num_found, finish.kv_scales.size());
}

/// For the config's list of what to leave alone. Embeddings are matrices too, but no linears.
std::vector<std::string> CheckpointWriter::State::unquantized_linears() const {
  constexpr std::string_view kWeight = ".weight";
  std::set<std::string> modules;
  if (!parts.contains("lm_head")) modules.insert("lm_head");  // also where it is the embedding
  for (const std::string_view name : source.names()) {
    if (!name.ends_with(kWeight) || source.entry(name).shape.rank() != 2) continue;
    const std::string module(name.substr(0, name.size() - kWeight.size()));
    const bool is_embedding =
        module.ends_with("embed_tokens") || module.ends_with(".wte") || module.ends_with(".wpe");
    const auto part = parts.find(module);
    if (!is_embedding && (part == parts.end() || !part->second.linear)) modules.insert(module);
  }
  return {modules.begin(), modules.end()};
}

void CheckpointWriter::State::write_shards(const std::vector<TensorToWrite>& tensors,
                                           const ProgressSink& progress) const {
  std::vector<std::span<const TensorToWrite>> shards;
  uint64_t total_bytes = 0;
  uint64_t shard_bytes = 0;
  size_t begin = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > begin && shard_bytes + tensors[i].bytes > options.max_shard_bytes) {
      shards.push_back(std::span(tensors).subspan(begin, i - begin));
      begin = i;
      shard_bytes = 0;
    }
    shard_bytes += tensors[i].bytes;
    total_bytes += tensors[i].bytes;
  }
  shards.push_back(std::span(tensors).subspan(begin));

  uint64_t done_bytes = 0;
  const auto report = [&](uint64_t bytes) {
    done_bytes += bytes;
    if (progress)
      progress({.stage = "writing the checkpoint", .done = done_bytes, .total = total_bytes});
  };
  nlohmann::ordered_json weight_map;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? "model.safetensors"
                                                : fmt::format("model-{:05d}-of-{:05d}.safetensors",
                                                              i + 1, shards.size());
    write_safetensors(partial / name, shards[i], {{"format", "pt"}}, report);
    for (const TensorToWrite& tensor : shards[i]) weight_map[tensor.name] = name;
  }
  if (shards.size() == 1) return;
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", total_bytes}}},
                                        {"weight_map", std::move(weight_map)}};
  write_text_file(partial / "model.safetensors.index.json", index.dump(2) + "\n");
}

void CheckpointWriter::State::write_configs(const Finish& finish) {
  WrittenModel model;
  for (const auto& [module, part] : parts)
    if (part.linear) model.linears[module] = *part.linear;
  model.ignored = unquantized_linears();
  model.has_fp8_kv_cache = finish.kv_cache.has_value();
  if (options.format == QuantFormat::modelopt) {
    config["quantization_config"] = modelopt_config(model);
    write_text_file(partial / kModelOptConfigFile, modelopt_file(model).dump(4) + "\n");
  } else {
    config["quantization_config"] = compressed_tensors_config(model);
  }
  if (!finish.veloz_json.empty())
    config["veloz"] = nlohmann::ordered_json::parse(finish.veloz_json);
  write_text_file(partial / kConfigFile, config.dump(2) + "\n");
}

void CheckpointWriter::State::move_into_place() {
  check_output(options.output, options.source, options.existing);
  parts.clear();  // they are open files
  fs::remove_all(partial / kPartsFolder);
  sync_directory(partial);
  replace_directory(partial, options.output);
  is_committed = true;
}

CheckpointWriter::CheckpointWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
CheckpointWriter::~CheckpointWriter() = default;
CheckpointWriter::CheckpointWriter(CheckpointWriter&&) noexcept = default;
CheckpointWriter& CheckpointWriter::operator=(CheckpointWriter&&) noexcept = default;

void CheckpointWriter::check(const fs::path& source, const fs::path& output, Existing existing) {
  with_io_errors([&] {
    check_output(normalized(output), normalized(source), existing);
    read_config(source);
  });
}

void CheckpointWriter::publish(const fs::path& written, const fs::path& source,
                               const fs::path& output, Existing existing) {
  with_io_errors([&] {
    check_output(normalized(output), normalized(source), existing);
    replace_directory(normalized(written), normalized(output));
  });
}

CheckpointWriter CheckpointWriter::create(Options options) {
  return with_io_errors([&] {
    options.source = normalized(options.source);
    options.output = normalized(options.output);
    check_output(options.output, options.source, options.existing);
    auto state = std::make_unique<State>(std::move(options));
    state->make_partial_directory();
    return CheckpointWriter(std::move(state));
  });
}

std::optional<LinearScheme> CheckpointWriter::find_linear(std::string_view module) const {
  const std::scoped_lock hold(state_->mutex);
  const auto found = state_->parts.find(module);
  if (found == state_->parts.end() || !found->second.linear) return std::nullopt;
  return found->second.linear->scheme;
}

bool CheckpointWriter::has_tensor(std::string_view name) const {
  const std::scoped_lock hold(state_->mutex);
  const auto found = state_->parts.find(name);
  return found != state_->parts.end() && !found->second.linear;
}

void CheckpointWriter::add_linear(std::string_view module, const LinearScheme& scheme,
                                  const CanonicalLinear& tensors) {
  check_scheme(std::string(module), scheme, tensors.columns);
  LinearScheme stored = scheme;
  if (stored.input_scale) stored.input_scale = static_cast<float>(*stored.input_scale);
  const LinearLayout layout = state_->options.format == QuantFormat::modelopt
                                  ? to_modelopt(module, scheme, tensors)
                                  : to_compressed_tensors(module, scheme, tensors);
  std::vector<TensorToWrite> parts;
  for (const LinearPart& part : layout.parts) {
    const auto rows = static_cast<size_t>(part.shape.rank() == 0 ? 1 : part.shape[0]);
    parts.push_back({fmt::format("{}.{}", module, part.name),
                     std::string(safetensors_dtype(part.dtype)), part.shape, part.data.size(),
                     [&part, row_bytes = part.data.size() / rows](int64_t begin, int64_t,
                                                                  std::span<std::byte> to) {
                       std::memcpy(to.data(),
                                   part.data.data() + static_cast<size_t>(begin) * row_bytes,
                                   to.size());
                     }});
  }
  state_->add_part(std::string(module), parts,
                   WrittenLinear{stored, layout.kind, layout.is_per_tensor});
}

void CheckpointWriter::add_tensor(std::string_view name, const TensorInfo& info,
                                  std::span<const std::byte> data) {
  VELOZ_CHECK(
      data.size() == static_cast<size_t>(info.shape.num_elements()) * dtype_bytes(info.dtype),
      "tensor {} of {} in {} bytes", name, to_string(info.shape), data.size());
  const auto rows = static_cast<size_t>(info.shape.rank() == 0 ? 1 : info.shape[0]);
  const TensorToWrite tensor{
      std::string(name), std::string(safetensors_dtype(info.dtype)), info.shape, data.size(),
      [&](int64_t begin, int64_t, std::span<std::byte> to) {
        std::memcpy(to.data(), data.data() + static_cast<size_t>(begin) * (data.size() / rows),
                    to.size());
      }};
  state_->add_part(std::string(name), std::span(&tensor, 1), std::nullopt);
}

void CheckpointWriter::commit(const Finish& finish, const ProgressSink& progress) {
  VELOZ_CHECK(!state_->is_committed, "\"{}\" was committed before",
              state_->options.output.string());
  VELOZ_CHECK(!finish.kv_cache || finish.kv_cache == DType::fp8_e4m3, "a KV cache of {} in files",
              to_string(finish.kv_cache.value_or(DType::fp8_e4m3)));
  with_io_errors([&] {
    state_->write_shards(state_->all_tensors(finish), progress);
    copy_other_files(state_->options.source, state_->partial);
    state_->write_configs(finish);
    for (const auto& [name, text] : finish.files) {
      VELOZ_CHECK(fs::path(name).filename() == name && name != "." && name != "..",
                  "{} is no name of a file", name);
      write_text_file(state_->partial / name, text);
    }
    state_->move_into_place();
  });
}

}  // namespace veloz::checkpoint
