// SPDX-License-Identifier: Apache-2.0
#include "engine/checksum.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <new>

#include "base/error.h"
#include "base/hash.h"
#include "engine/json_fields.h"

namespace veloz::engine {
namespace {

size_t num_chunks(uint64_t bytes) {
  return static_cast<size_t>((bytes + kChecksumChunk - 1) / kChecksumChunk);
}

uint64_t hash_chunk(const File& file, uint64_t bytes, size_t chunk) {
  std::vector<std::byte> piece(kPieceBytes);
  ChunkHasher hasher;
  const uint64_t begin = chunk * kChecksumChunk;
  const uint64_t end = std::min(begin + kChecksumChunk, bytes);
  for (uint64_t at = begin; at < end; at += kPieceBytes) {
    const auto part = std::span(piece).first(std::min<uint64_t>(kPieceBytes, end - at));
    file.read(at, part);
    hasher.update(part);
  }
  return hasher.digest();
}

}  // namespace

struct ChunkHasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (xxh == nullptr) throw std::bad_alloc();
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

ChunkHasher::ChunkHasher() : state_(std::make_unique<State>()) { reset(); }
ChunkHasher::~ChunkHasher() = default;
void ChunkHasher::reset() { XXH3_64bits_reset(state_->xxh); }
void ChunkHasher::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_->xxh, bytes.data(), bytes.size());
}
uint64_t ChunkHasher::digest() const { return XXH3_64bits_digest(state_->xxh); }

FileRecord record_file(std::string name, const File& file, ThreadPool& pool) {
  FileRecord record{std::move(name), file.size(), {}};
  record.checksums.resize(num_chunks(file.size()));
  for_each_chunk(pool, record.checksums.size(), [&](size_t chunk, int) {
    record.checksums[chunk] = hash_chunk(file, file.size(), chunk);
  });
  return record;
}

FileRecord record_text(std::string name, std::string_view text) {
  FileRecord record{std::move(name), text.size(), {}};
  for (size_t chunk = 0; chunk < num_chunks(text.size()); ++chunk)
    record.checksums.push_back(
        xxh3_64(std::as_bytes(std::span(text.substr(chunk * kChecksumChunk, kChecksumChunk)))));
  return record;
}

void verify_size(uint64_t bytes, const FileRecord& record) {
  if (bytes != record.bytes)
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("{} has {} bytes, engine.json says {}", record.name, bytes, record.bytes),
        bytes < record.bytes ? "the file is truncated; copy the engine again, or rebuild it "
                               "with `veloz build`"
                             : kRebuildHint);
}

void throw_damaged_chunk(const FileRecord& record, size_t chunk, const std::string& contents) {
  const uint64_t begin = chunk * kChecksumChunk;
  throw Error(
      ErrorKind::corrupt_data,
      fmt::format("{} is damaged: the checksum of bytes {} to {} does not match engine.json{}",
                  record.name, begin, std::min(begin + kChecksumChunk, record.bytes),
                  contents.empty() ? "" : fmt::format(" ({})", contents)),
      kRebuildHint);
}

void verify_file(const File& file, const FileRecord& record, ThreadPool& pool) {
  verify_size(file.size(), record);
  for_each_chunk(pool, record.checksums.size(), [&](size_t chunk, int) {
    if (hash_chunk(file, record.bytes, chunk) != record.checksums[chunk])
      throw_damaged_chunk(record, chunk, "");
  });
}

void verify_text(std::string_view text, const FileRecord& record) {
  verify_size(text.size(), record);
  const FileRecord found = record_text(record.name, text);
  for (size_t chunk = 0; chunk < record.checksums.size(); ++chunk)
    if (found.checksums[chunk] != record.checksums[chunk]) throw_damaged_chunk(record, chunk, "");
}

}  // namespace veloz::engine
