// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <array>
#include <bit>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

uint64_t read_header_length(const File& file) {
  constexpr const char* kHint =
      "the file is truncated or no safetensors file; download it again (a file of a few hundred "
      "bytes may be a Git LFS pointer)";
  if (file.size() < kLengthBytes)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} bytes are too few for a safetensors file", file.size()), kHint);
  std::array<std::byte, kLengthBytes> bytes{};
  file.read(0, bytes);
  const auto length = std::bit_cast<uint64_t>(bytes);
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("the header claims {} bytes, the file has {} and the format allows {}",
                            length, file.size(), kMaxHeaderBytes),
                kHint);
  return length;
}

SafetensorsHeader read_header(const File& file) {
  const uint64_t length = read_header_length(file);
  std::string text(length, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(text)));
  return parse_safetensors_header(text, kLengthBytes + length, file.size());
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  File file = File::open(path);
  try {
    SafetensorsHeader header = read_header(file);
    return SafetensorsFile(std::move(file), std::move(header));
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

void SafetensorsFile::read(const TensorEntry& entry, uint64_t begin,
                           std::span<std::byte> to) const {
  VELOZ_CHECK(begin <= entry.bytes && to.size() <= entry.bytes - begin,
              "{} bytes from byte {} of a tensor of {}", to.size(), begin, entry.bytes);
  file_.read(entry.offset + begin, to);
}

}  // namespace veloz::checkpoint
