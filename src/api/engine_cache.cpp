// SPDX-License-Identifier: Apache-2.0
#include "api/engine_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "api/build_options.h"
#include "base/error.h"
#include "compiler/build.h"
#include "engine/engine.h"

namespace veloz::api {
namespace {

/// An exclusive lock on a file, held until destruction.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0)
      throw Error(ErrorKind::io,
                  fmt::format("cannot create \"{}\": {}", path.string(), std::strerror(errno)),
                  "choose another place with --cache-dir");
    while (::flock(fd_, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      ::close(fd_);
      throw Error(ErrorKind::io,
                  fmt::format("cannot lock \"{}\": {}", path.string(), std::strerror(error)),
                  "choose a --cache-dir on a local disk");
    }
  }
  ~FileLock() { ::close(fd_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

}  // namespace

ResolvedEngine find_or_build(const BuildOptions& options, const std::filesystem::path& cache_dir) {
  const std::string key = compiler::cache_key(to_compile_options(options));
  const std::string name = std::filesystem::weakly_canonical(options.model).filename().string();
  const std::filesystem::path engine = cache_dir / fmt::format("{}-{}", name, key.substr(0, 16));
  if (engine::Engine::is_engine(engine)) return {engine, false, {}};

  std::error_code error;
  std::filesystem::create_directories(cache_dir, error);
  if (error)
    throw Error(ErrorKind::io,
                fmt::format("cannot create \"{}\": {}", cache_dir.string(), error.message()),
                "choose another place with --cache-dir");
  std::filesystem::path lock_path = engine;
  lock_path += ".lock";
  const FileLock lock(lock_path);
  if (engine::Engine::is_engine(engine)) return {engine, false, {}};  // built while we waited
  BuildOptions build_options = options;
  build_options.output = engine;
  return {engine, true, build(build_options)};
}

}  // namespace veloz::api
