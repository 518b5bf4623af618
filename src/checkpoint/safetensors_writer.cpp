// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"

namespace veloz::checkpoint {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;
constexpr size_t kHeaderAlignment = 8;

std::string header_of(std::span<const TensorToWrite> tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    VELOZ_CHECK(!tensor.dtype.empty(), "safetensors has no dtype for tensor {}", tensor.name);
    const std::span<const int64_t> dims = tensor.shape.dims();
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                           {"data_offsets", {begin, begin + tensor.bytes}}};
    begin += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize(round_up(text.size(), kHeaderAlignment), ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<void(uint64_t bytes)>& written) {
  FileWriter file = FileWriter::create(path);
  const std::string header = header_of(tensors, metadata);
  const uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  std::vector<std::byte> piece;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t num_rows = tensor.shape.rank() == 0 ? 1 : tensor.shape[0];
    const auto row_bytes = static_cast<int64_t>(tensor.bytes) / num_rows;
    const int64_t rows = std::max<int64_t>(1, kPieceBytes / row_bytes);
    for (int64_t begin = 0; begin < num_rows; begin += rows) {
      const int64_t end = std::min(begin + rows, num_rows);
      piece.resize(static_cast<size_t>((end - begin) * row_bytes));
      tensor.read_rows(begin, end, piece);
      file.write(piece);
      if (written) written(piece.size());
    }
  }
  file.close();
}

}  // namespace veloz::checkpoint
