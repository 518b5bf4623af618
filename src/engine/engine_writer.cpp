// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "engine/checksum.h"
#include "engine/engine.h"
#include "engine/file_names.h"

namespace veloz::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRandomLetters = 6;  // of mkdtemp

[[noreturn]] void throw_io(std::string_view what, const fs::path& path, int error) {
  throw Error(ErrorKind::io,
              fmt::format("cannot {} \"{}\": {}", what, path.string(), std::strerror(error)),
              error == ENOSPC || error == EDQUOT || error == EFBIG
                  ? "free some space, or write to another disk"
                  : "check the permissions of the directory");
}

/// An open directory, perhaps locked; closing it releases the lock, as does the death of its
/// process.
class DirectoryHandle {
 public:
  explicit DirectoryHandle(const fs::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {}
  ~DirectoryHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  DirectoryHandle(DirectoryHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirectoryHandle& operator=(DirectoryHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] bool try_lock() const { return ::flock(fd_, LOCK_EX | LOCK_NB) == 0; }
  /// Some network file systems cannot lock directories: then nothing is locked, and no one's
  /// partial directory is ever removed.
  [[nodiscard]] bool lock() const { return ::flock(fd_, LOCK_EX) == 0; }

 private:
  int fd_;
};

/// Absolute, symlinks resolved, no trailing slash.
fs::path normalized(const fs::path& directory) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(fs::absolute(directory, error), error);
  if (error) throw_io("resolve", directory, error.value());
  if (!path.has_filename()) path = path.parent_path();
  if (!path.has_filename())
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" cannot become an engine", directory.string()),
                "give the name of a new directory");
  return path;
}

void check_replaceable(const fs::path& directory, EngineWriter::Existing existing) {
  std::error_code error;
  const auto status = fs::symlink_status(directory, error);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" exists and is not a directory", directory.string()),
                "give the name of a new directory");
  if (fs::is_empty(directory, error)) return;
  if (!Engine::is_engine(directory))
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("\"{}\" exists and is no engine, so it is not replaced", directory.string()),
        "give the name of a new directory, or remove this one");
  if (existing == EngineWriter::Existing::refuse)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds an engine already", directory.string()),
                "give another name, or replace it (--force)");
}

std::string partial_prefix(const fs::path& directory) {
  return fmt::format(".veloz-partial-{}-", directory.filename().string());
}

/// Removes what killed writers to the same directory left: a living one holds its lock.
void remove_abandoned(const fs::path& directory) {
  const std::string prefix = partial_prefix(directory);
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || name.size() != prefix.size() + kRandomLetters) continue;
    const DirectoryHandle handle(entry.path());
    if (handle.is_open() && handle.try_lock()) fs::remove_all(entry.path(), error);
  }
}

/// Asks the file system for the room beforehand, so that a full disk ends a build at its start.
/// Not every file system can; then the writes will tell.
void reserve_space(const fs::path& path, uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw_io("open", path, errno);
  const int result = ::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  const int error = errno;
  ::close(fd);
  if (result != 0 && (error == ENOSPC || error == EDQUOT || error == EFBIG))
    throw_io(fmt::format("reserve {} for", format_bytes(bytes)), path, error);
}

bool exchange(const fs::path& a, const fs::path& b) {
  return ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

}  // namespace

struct EngineWriter::State {
  State(fs::path directory_in, const Plan& plan_in, Existing existing_in)
      : directory(std::move(directory_in)),
        plan(plan_in),
        existing(existing_in),
        written(plan_in.weights.size()) {}
  ~State() {
    std::error_code error;
    weights.reset();
    if (!partial.empty()) fs::remove_all(partial, error);
  }

  void make_partial_directory();
  /// Replaces an older engine in one system call where the file system can.
  void move_into_place();

  fs::path directory;
  Plan plan;
  Existing existing;
  fs::path partial;  // empty once it is in its place
  std::optional<DirectoryHandle> lock;
  std::optional<FileWriter> weights;
  WeightsFileLayout layout;
  std::vector<std::atomic<uint64_t>> written;  // bytes of each weight so far
  std::map<std::string, FileRecord, std::less<>> records;
};

void EngineWriter::State::make_partial_directory() {
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (error) throw_io("create", directory.parent_path(), error.value());
  // While the parent is locked no other writer looks for abandoned directories, so none can take
  // the new one, not yet locked, for such.
  const DirectoryHandle parent(directory.parent_path());
  const bool is_locked = parent.is_open() && parent.lock();
  if (is_locked) remove_abandoned(directory);
  std::string name =
      (directory.parent_path() / (partial_prefix(directory) + std::string(kRandomLetters, 'X')))
          .string();
  if (::mkdtemp(name.data()) == nullptr) throw_io("create", name, errno);
  partial = name;
  lock.emplace(partial);
  if (!lock->is_open()) throw_io("open", partial, errno);
  if (is_locked && !lock->try_lock()) throw_io("lock", partial, errno);
  if (::chmod(partial.c_str(), 0755) != 0) throw_io("set the mode of", partial, errno);
}

void EngineWriter::State::move_into_place() {
  check_replaceable(directory, existing);
  std::error_code error;
  const bool is_taken = fs::exists(directory) && !fs::is_empty(directory, error);
  if (!is_taken) {
    // Fails where somebody has put anything there meanwhile.
    if (::rename(partial.c_str(), directory.c_str()) != 0)
      throw_io("move the finished engine to", directory, errno);
    partial.clear();
  } else if (exchange(partial, directory)) {
    fs::remove_all(std::exchange(partial, {}), error);  // the old engine now
  } else {
    const fs::path old = partial.string() + ".old";
    fs::rename(directory, old, error);
    if (!error) fs::rename(partial, directory, error);
    if (error) throw_io("move the finished engine to", directory, error.value());
    partial.clear();
    fs::remove_all(old, error);
  }
  sync_directory(directory.parent_path());
}

EngineWriter::EngineWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
EngineWriter::~EngineWriter() = default;
EngineWriter::EngineWriter(EngineWriter&&) noexcept = default;
EngineWriter& EngineWriter::operator=(EngineWriter&&) noexcept = default;

EngineWriter EngineWriter::create(const fs::path& directory, const Plan& plan,
                                  std::span<const size_t> weight_bytes, Existing existing) {
  try {
    verify_plan(plan);
  } catch (const Error& e) {
    // The plan comes from our own compiler.
    throw Error(ErrorKind::internal, fmt::format("the plan cannot run: {}", e.message()),
                "this is a bug in veloz; please report it with the command that led here");
  }
  const fs::path path = normalized(directory);
  check_replaceable(path, existing);
  auto state = std::make_unique<State>(path, plan, existing);
  state->make_partial_directory();
  if (weight_bytes.empty() && !plan.weights.empty()) return EngineWriter(std::move(state));
  state->layout = layout_weights_file(plan, weight_bytes);
  const fs::path weights = state->partial / kWeightsFile;
  state->weights.emplace(FileWriter::create(weights));
  reserve_space(weights, state->layout.file_bytes);
  state->weights->write_at(0, std::as_bytes(std::span(state->layout.header)));
  return EngineWriter(std::move(state));
}

void EngineWriter::write_weight(size_t weight, uint64_t offset, std::span<const std::byte> bytes) {
  const WeightRange& range = state_->layout.ranges.at(weight);
  VELOZ_CHECK(offset <= range.bytes && bytes.size() <= range.bytes - offset,
              "bytes {} to {} of weight {}, which has {}", offset, offset + bytes.size(), weight,
              range.bytes);
  state_->weights->write_at(range.offset + offset, bytes);
  state_->written[weight] += bytes.size();
}

void EngineWriter::write_file(std::string_view name, std::string_view text) {
  VELOZ_CHECK(is_engine_file_name(name) && name != kManifestFile && name != kWeightsFile,
              "\"{}\" is no name for a file of an engine", name);
  FileRecord record = record_text(std::string(name), text);
  VELOZ_CHECK(state_->records.emplace(name, std::move(record)).second, "\"{}\" is written twice",
              name);
  const fs::path path = state_->partial / name;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) throw_io("create", path.parent_path(), error.value());
  write_text_file(path, text);
}

void EngineWriter::commit(Manifest manifest, ThreadPool& pool) {
  State& state = *state_;
  VELOZ_CHECK(!state.partial.empty(), "an engine is committed twice");
  VELOZ_CHECK(state.records.contains(kGraphFile), "an engine without {}", kGraphFile);
  VELOZ_CHECK(manifest.dummy_seed.has_value() == !state.weights.has_value(),
              "an engine with weights and a seed for them, or without both");
  for (size_t i = 0; i < state.layout.ranges.size(); ++i)
    VELOZ_CHECK(state.written[i] == state.layout.ranges[i].bytes,
                "{} bytes of weight \"{}\" were written, it has {}", state.written[i].load(),
                state.plan.weights[i].name, state.layout.ranges[i].bytes);

  // Padding behind the last weight may never have been written.
  if (const uint64_t end = state.layout.file_bytes; !state.layout.ranges.empty()) {
    const WeightRange& last = state.layout.ranges.back();
    const std::vector<std::byte> pad(end - last.offset - last.bytes);
    state.weights->write_at(last.offset + last.bytes, pad);
  }
  if (state.weights) {
    state.weights->close();
    state.weights.reset();
    state.records.emplace(
        kWeightsFile,
        record_file(std::string(kWeightsFile), File::open(state.partial / kWeightsFile), pool));
  }
  write_file(kPlanFile, print_plan(state.plan));

  manifest.limits = state.plan.limits;
  manifest.files.clear();
  for (const auto& [name, record] : state.records) manifest.files.push_back(record);
  write_text_file(state.partial / kManifestFile, print_manifest(manifest));
  if (fs::exists(state.partial / kTokenizerFolder))
    sync_directory(state.partial / kTokenizerFolder);
  sync_directory(state.partial);
  state.move_into_place();
}

}  // namespace veloz::engine
