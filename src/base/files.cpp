// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace veloz {
namespace {

constexpr size_t kMaxIoBytes = size_t{1} << 30;  // Linux transfers at most 2 GiB - 4 KiB a call

[[noreturn]] void throw_io(const char* what, const std::filesystem::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "free some space, or write to another disk";
  if (error == EACCES || error == EPERM)
    hint = "check the permissions of the file and its directory";
  throw Error(ErrorKind::io,
              fmt::format("cannot {} \"{}\": {}", what, path.string(), std::strerror(error)), hint);
}

template <typename Io>
void transfer(const Io& io, std::span<const std::byte> bytes, uint64_t offset, const char* what,
              const std::filesystem::path& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    const size_t chunk = std::min(bytes.size() - done, kMaxIoBytes);
    const ssize_t n = io(done, chunk, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_io(what, path, errno);
    if (n == 0)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("\"{}\" ends at byte {}, {} were expected", path.string(),
                              offset + done, offset + bytes.size()),
                  "the file is truncated or shrank while it was read; copy or download it again");
    done += static_cast<size_t>(n);
  }
}

}  // namespace

File::File(int fd, std::filesystem::path path, uint64_t size)
    : fd_(fd), path_(std::move(path)), size_(size) {}
File::~File() {
  if (fd_ >= 0) ::close(fd_);
}
File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), size_(other.size_) {}
File& File::operator=(File&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  return *this;
}

File File::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT)
      throw Error(ErrorKind::not_found, fmt::format("\"{}\" does not exist", path.string()),
                  "check the path");
    throw_io("open", path, errno);
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    const bool is_directory = S_ISDIR(info.st_mode);
    ::close(fd);
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is {}, not a regular file", path.string(),
                            is_directory ? "a directory" : "a special file"),
                "give the path of a file");
  }
  return File(fd, path, static_cast<uint64_t>(info.st_size));
}

void File::read(uint64_t offset, std::span<std::byte> to) const {
  const auto io = [&](size_t done, size_t chunk, uint64_t at) {
    return ::pread(fd_, to.data() + done, chunk, static_cast<off_t>(at));
  };
  transfer(io, to, offset, "read", path_);
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const File file = File::open(path);
  if (file.size() > max_bytes)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" has {}, at most {} are read", path.string(),
                            format_bytes(file.size()), format_bytes(max_bytes)),
                "this does not look like the file it is named after");
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

FileWriter::FileWriter(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
}
FileWriter::FileWriter(FileWriter&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), offset_(other.offset_) {}
FileWriter& FileWriter::operator=(FileWriter&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(offset_, other.offset_);
  return *this;
}

FileWriter FileWriter::create(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) throw_io("create", path, errno);
  return FileWriter(fd, path);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  write_at(offset_, bytes);
  offset_ += bytes.size();
}

void FileWriter::write_at(uint64_t offset, std::span<const std::byte> bytes) const {
  const auto io = [&](size_t done, size_t chunk, uint64_t at) {
    return ::pwrite(fd_, bytes.data() + done, chunk, static_cast<off_t>(at));
  };
  transfer(io, bytes, offset, "write", path_);
}

void FileWriter::close() {
  // A device such as /dev/null has nothing to sync, and says so.
  if (::fsync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP) throw_io("sync", path_, errno);
  if (::close(std::exchange(fd_, -1)) != 0) throw_io("close", path_, errno);
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  FileWriter writer = FileWriter::create(path);
  writer.write(text);
  writer.close();
}

void sync_directory(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw_io("open", path, errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) throw_io("sync", path, error);
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace veloz
