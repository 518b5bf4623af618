// SPDX-License-Identifier: Apache-2.0
// Hostile checkpoints: whatever the bytes, the readers throw Error or give something whose every
// byte can be read. The first byte chooses a safetensors header, a whole file, config.json,
// generation_config.json or an index, and whether the rest is the text itself or a list of edits to
// a good one (so that deep fields are reached).
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/model_config.h"
#include "checkpoint/model_files.h"
#include "checkpoint/safetensors.h"
#include "fuzz/edits.h"

namespace veloz {
namespace {

constexpr uint64_t kDataBytes = 40;
constexpr std::string_view kGoodHeader =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"BF16","shape":[8],"data_offsets":[24,40]}})";
constexpr std::string_view kGoodConfig =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":96,"intermediate_size":160,)"
    R"("num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":24,)"
    R"("vocab_size":1003,"max_position_embeddings":512,"rms_norm_eps":1e-05,"hidden_act":"silu",)"
    R"("rope_parameters":{"rope_theta":1e4,"rope_type":"llama3","factor":8.0,)"
    R"("low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":256},)"
    R"("use_sliding_window":true,"sliding_window":64,"max_window_layers":3,"layer_types":["a"],)"
    R"("torch_dtype":"bfloat16","eos_token_id":[1,2]})";
constexpr std::string_view kGoodGeneration =
    R"({"eos_token_id":[1,2],"do_sample":true,"temperature":0.6,"top_p":0.9,"top_k":20,)"
    R"("num_beams":4,"early_stopping":"never","bad_words_ids":[[1]]})";
constexpr std::string_view kGoodIndex =
    R"({"metadata":{"total_size":40},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}})";

/// A file in memory, with a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      std::abort();
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// Tensors lie within the data and fill it, each with the bytes that dtype and shape give.
void check_header(const checkpoint::SafetensorsHeader& header, uint64_t begin, uint64_t end) {
  uint64_t total = 0;
  for (const auto& [name, entry] : header.tensors) {
    VELOZ_CHECK(entry.offset >= begin && entry.bytes <= end && entry.offset <= end - entry.bytes,
                "tensor {} lies outside", name);
    if (entry.dtype)
      VELOZ_CHECK(entry.bytes ==
                      static_cast<uint64_t>(entry.shape.num_elements()) * dtype_bytes(*entry.dtype),
                  "tensor {} has other bytes than its shape", name);
    total += entry.bytes;
  }
  VELOZ_CHECK(total == end - begin, "{} bytes of tensors in {}", total, end - begin);
}

void read_header(const std::string& text) {
  const uint64_t begin = 8 + text.size();
  check_header(checkpoint::parse_safetensors_header(text, begin, begin + kDataBytes), begin,
               begin + kDataBytes);
}

void read_file(std::string_view bytes) {
  const MemoryFile memory(bytes);
  const auto file = checkpoint::SafetensorsFile::open(memory.path());
  std::vector<std::byte> data;
  for (const auto& [name, entry] : file.tensors()) {
    data.resize(entry.bytes);
    file.read(entry, 0, data);
  }
}

void read_index(const std::string& text) {
  const MemoryFile memory(text);
  for (const auto& [tensor, file] : checkpoint::read_weight_index(memory.path()))
    VELOZ_CHECK(std::filesystem::path(file).filename() == file && file != "." && file != "..",
                "{} is no plain name", file);
}

void read_any(std::string_view data) {
  const std::string_view rest = data.substr(1);
  const bool is_edit = static_cast<unsigned char>(data[0]) % 2 == 1;
  const auto text = [&](std::string_view good) {
    return is_edit ? test::edited(std::string(good), rest) : std::string(rest);
  };
  switch (static_cast<unsigned char>(data[0]) / 2 % 5) {
    case 0:
      return read_header(text(kGoodHeader));
    case 1: {
      std::string whole(1, static_cast<char>(kGoodHeader.size()));
      whole.append(7, '\0').append(kGoodHeader).append(kDataBytes, 'x');
      return read_file(text(whole));
    }
    case 2:
      checkpoint::parse_model_config(text(kGoodConfig));
      return;
    case 3:
      (void)checkpoint::parse_generation_config(text(kGoodGeneration)).sampling_params();
      return;
    default:
      read_index(text(kGoodIndex));
  }
}

}  // namespace
}  // namespace veloz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    veloz::read_any({reinterpret_cast<const char*>(data), size});
  } catch (const veloz::Error& e) {
    // Anything else, a failed check included, is a bug.
    if (e.kind() != veloz::ErrorKind::corrupt_data && e.kind() != veloz::ErrorKind::unsupported &&
        e.kind() != veloz::ErrorKind::invalid_input)
      std::abort();
  }
  return 0;
}
