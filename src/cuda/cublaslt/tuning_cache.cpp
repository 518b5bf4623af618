// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/tuning_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace veloz::cuda {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;
constexpr uint64_t kMaxFileBytes = 64 << 20;
constexpr size_t kMaxBlobBytes = 4096;

std::string bucket_key(Gemm gemm) {
  gemm.tokens = token_bucket(gemm.tokens);
  return to_string(gemm);
}

std::string to_hex(const std::vector<std::byte>& bytes) {
  std::string hex;
  for (const std::byte byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return hex;
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

std::optional<std::vector<std::byte>> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0 || hex.size() > 2 * kMaxBlobBytes) return std::nullopt;
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return bytes;
}

Error damaged(const std::string& what) { return Error(ErrorKind::corrupt_data, what); }

TunedGemm parse_entry(const std::string& key, const json& value) {
  const auto algorithm = value.find("algorithm");
  const auto workspace = value.find("workspace_bytes");
  const auto time = value.find("microseconds");
  if (algorithm == value.end() || !algorithm->is_string() || workspace == value.end() ||
      !workspace->is_number_unsigned() || time == value.end() || !time->is_number())
    throw damaged(fmt::format("the entry \"{}\" lacks a field", key));
  auto blob = from_hex(algorithm->get_ref<const std::string&>());
  if (!blob) throw damaged(fmt::format("the algorithm of \"{}\" is not hexadecimal", key));
  return {{std::move(*blob), workspace->get<size_t>()}, time->get<double>()};
}

/// Throws Error(corrupt_data) for what is no such file, Error(unsupported) for another's.
std::map<std::string, TunedGemm> parse(const std::string& text, const TuningIdentity& identity) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) throw damaged("it is not a JSON object");
  const auto text_of = [&](const char* name) {
    const auto field = root.find(name);
    return field != root.end() && field->is_string() ? field->get<std::string>() : std::string();
  };
  const auto format = root.find("format");
  if (format == root.end() || *format != kFormat) throw damaged("it is of an unknown format");
  const TuningIdentity theirs{text_of("device"), text_of("library")};
  if (theirs != identity)
    throw Error(ErrorKind::unsupported,
                fmt::format("it is of {} on {}, this is {} on {}", theirs.library, theirs.device,
                            identity.library, identity.device));
  const auto list = root.find("entries");
  if (list == root.end() || !list->is_object()) throw damaged("it has no entries");
  std::map<std::string, TunedGemm> entries;
  for (const auto& [key, value] : list->items()) {
    if (!value.is_object()) throw damaged(fmt::format("the entry \"{}\" is no object", key));
    entries.emplace(key, parse_entry(key, value));
  }
  return entries;
}

std::string print(const std::map<std::string, TunedGemm>& entries, const TuningIdentity& identity) {
  json list = json::object();
  for (const auto& [key, tuned] : entries)
    list[key] = {{"algorithm", to_hex(tuned.algorithm.blob)},
                 {"workspace_bytes", tuned.algorithm.workspace_bytes},
                 {"microseconds", std::round(tuned.microseconds * 1000) / 1000}};
  const json root = {{"format", kFormat},
                     {"device", identity.device},
                     {"library", identity.library},
                     {"entries", std::move(list)}};
  return root.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

/// Held until it goes away. Where a file system cannot lock, nothing is locked: the file is still
/// replaced whole, and at worst somebody's entries are tuned again.
class FileLock {
 public:
  explicit FileLock(const fs::path& path)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

void make_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error)
    throw Error(ErrorKind::io,
                fmt::format("cannot create \"{}\": {}", directory.string(), error.message()));
}

}  // namespace

fs::path tuning_file(const fs::path& directory, const TuningIdentity& identity) {
  std::string name = identity.device + "-" + identity.library;
  for (char& letter : name) {
    const bool is_plain = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                          (letter >= 'A' && letter <= 'Z') || letter == '.';
    if (!is_plain) letter = '-';
  }
  return directory / (name + ".json");
}

TuningCache TuningCache::load(const fs::path& path, TuningIdentity identity) {
  TuningCache cache(std::move(identity));
  try {
    cache.entries_ = parse(read_text_file(path, kMaxFileBytes), cache.identity_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found)
      cache.notice_ =
          fmt::format("tuned products in \"{}\" are left aside, {}; they are tuned anew",
                      path.string(), error.message());
  }
  return cache;
}

const TunedGemm* TuningCache::find(const Gemm& gemm) const {
  const auto entry = entries_.find(bucket_key(gemm));
  return entry == entries_.end() ? nullptr : &entry->second;
}

void TuningCache::put(const Gemm& gemm, TunedGemm tuned) {
  entries_[bucket_key(gemm)] = std::move(tuned);
}

void TuningCache::save(const fs::path& path) {
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  make_directory(directory);
  const FileLock lock(path.string() + ".lock");
  const TuningCache saved = load(path, identity_);
  entries_.insert(saved.entries_.begin(), saved.entries_.end());
  const fs::path part = fmt::format("{}.{}", path.string(), ::getpid());
  write_text_file(part, print(entries_, identity_));
  if (::rename(part.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(part.c_str());
    throw Error(ErrorKind::io,
                fmt::format("cannot replace \"{}\": {}", path.string(), std::strerror(error)));
  }
  sync_directory(directory);
}

}  // namespace veloz::cuda
