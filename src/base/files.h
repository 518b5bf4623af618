// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace veloz {

/// A file opened for reading; all reads are `pread`, so one File serves many threads and a file
/// that shrinks meanwhile gives an error, not a signal.
class File {
 public:
  /// Throws Error(not_found), Error(invalid_input) where it is no regular file, or Error(io).
  static File open(const std::filesystem::path& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  const std::filesystem::path& path() const { return path_; }
  /// Size when it was opened.
  uint64_t size() const { return size_; }
  /// Fills `to` from byte `offset`. Throws Error(corrupt_data) where the file ends before.
  void read(uint64_t offset, std::span<std::byte> to) const;

 private:
  File(int fd, std::filesystem::path path, uint64_t size);
  int fd_ = -1;
  std::filesystem::path path_;
  uint64_t size_ = 0;
};

/// The whole of a text file. Throws Error(invalid_input) where it is larger than `max_bytes`.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes);

/// A new file written front to back; `close` syncs it. Unclosed on destruction it is simply
/// abandoned.
class FileWriter {
 public:
  static FileWriter create(const std::filesystem::path& path);
  ~FileWriter();
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;

  uint64_t offset() const { return offset_; }
  /// Throws Error(io), a full disk included, with the path and the system's reason.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Writes at any place, without moving the offset; many threads may do so at once.
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;
  /// fsync and close; throws Error(io).
  void close();

 private:
  FileWriter(int fd, std::filesystem::path path);
  int fd_ = -1;
  std::filesystem::path path_;
  uint64_t offset_ = 0;
};

void write_text_file(const std::filesystem::path& path, std::string_view text);

/// fsync of a directory, so that a rename in it survives a crash.
void sync_directory(const std::filesystem::path& path);

/// "1.50 GiB", "12 KiB", "7 B".
std::string format_bytes(uint64_t bytes);

}  // namespace veloz
