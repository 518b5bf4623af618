// SPDX-License-Identifier: Apache-2.0
#include "base/path_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace veloz {
namespace {

[[noreturn]] void refuse(const char* what, const std::filesystem::path& path, int error) {
  throw Error(
      ErrorKind::io, fmt::format("cannot {} \"{}\": {}", what, path.string(), std::strerror(error)),
      "check its permissions, or write to another disk: some network file systems cannot lock");
}

}  // namespace

PathLock::PathLock(const std::filesystem::path& path)
    : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) refuse("open", path, errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(fd_);
  if (error != EWOULDBLOCK) refuse("lock", path, error);
  throw Error(ErrorKind::invalid_input,
              fmt::format("another process is writing \"{}\"", path.string()),
              "wait until it is done, or give another output");
}

PathLock::~PathLock() { ::close(fd_); }

}  // namespace veloz
