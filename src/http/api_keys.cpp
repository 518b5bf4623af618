// SPDX-License-Identifier: Apache-2.0
#include "http/api_keys.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/error.h"

namespace veloz::http {
namespace {

constexpr std::string_view kScheme = "bearer ";

/// Takes a time that depends on the length of `given` alone.
bool equals_in_constant_time(std::string_view secret, std::string_view given) {
  if (secret.empty()) return false;  // would let in who gives none
  volatile unsigned difference = secret.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i)
    difference = difference | static_cast<unsigned>(secret[i % secret.size()] ^ given[i]);
  return difference == 0;
}

/// Tells keys apart in a log without telling anything of them.
std::string name_of(std::string_view secret) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(secret.data(), secret.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return fmt::format("key-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]);
}

double parse_positive(std::string_view text, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 1) ||
      !std::isfinite(value))
    throw Error(ErrorKind::invalid_input,
                fmt::format("{}: \"{}\" is no number of 1 or more", where, text),
                "write a line as: KEY name=alice rpm=60 burst=10");
  return value;
}

/// Nothing for a line without a word, and for a comment.
std::optional<ApiKey> parse_line(const std::string& line, const std::string& where) {
  std::istringstream words(line);
  ApiKey key;
  if (!(words >> key.secret) || key.secret.starts_with('#')) return std::nullopt;
  std::optional<double> rpm, burst;
  for (std::string word; words >> word && !word.starts_with('#');) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string_view value = equals == std::string::npos
                                       ? std::string_view()
                                       : std::string_view(word).substr(equals + 1);
    if (name == "name" && !value.empty())
      key.name = value;
    else if (name == "rpm")
      rpm = parse_positive(value, where);
    else if (name == "burst")
      burst = parse_positive(value, where);
    else
      throw Error(ErrorKind::invalid_input, fmt::format("{}: \"{}\" is not known", where, word),
                  "write a line as: KEY name=alice rpm=60 burst=10");
  }
  if (burst && !rpm)
    throw Error(ErrorKind::invalid_input, fmt::format("{}: burst is given without rpm", where),
                "write a line as: KEY name=alice rpm=60 burst=10");
  if (rpm) key.limit = RateLimit{.requests_per_minute = *rpm, .burst = burst.value_or(*rpm)};
  if (key.name.empty()) key.name = name_of(key.secret);
  return key;
}

}  // namespace

std::vector<ApiKey> read_api_keys(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file)
    throw Error(ErrorKind::io, fmt::format("cannot read the key file \"{}\"", path.string()),
                "check --api-key-file");
  std::vector<ApiKey> keys;
  int line_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++line_number;
    if (auto key = parse_line(line, fmt::format("{}:{}", path.string(), line_number)))
      keys.push_back(std::move(*key));
  }
  if (keys.empty())
    throw Error(ErrorKind::invalid_input,
                fmt::format("the key file \"{}\" holds no key", path.string()),
                "write one key a line, or serve without --api-key-file");
  return keys;
}

ApiKeys::ApiKeys(Options options) : options_(std::move(options)), entries_(load()) {}

std::vector<ApiKeys::Entry> ApiKeys::load() const {
  std::vector<ApiKey> keys;
  for (const std::string& secret : options_.keys) {
    if (secret.empty())
      throw Error(ErrorKind::invalid_input, "an --api-key is empty", "give a long random text");
    keys.push_back({.secret = secret, .name = name_of(secret)});
  }
  if (!options_.file.empty())
    for (ApiKey& key : read_api_keys(options_.file)) keys.push_back(std::move(key));
  const auto now = std::chrono::steady_clock::now();
  std::vector<Entry> entries;
  for (ApiKey& key : keys) {
    if (!key.limit) key.limit = options_.limit;
    Entry& entry = entries.emplace_back();
    entry.key = std::move(key);
    if (entry.key.limit) entry.limiter.emplace(*entry.key.limit, now);
  }
  return entries;
}

void ApiKeys::reload() {
  std::vector<Entry> entries = load();
  const std::lock_guard lock(mutex_);
  entries_ = std::move(entries);
}

bool ApiKeys::is_open() const {
  const std::lock_guard lock(mutex_);
  return entries_.empty();
}

ApiKeys::Verdict ApiKeys::check(std::optional<std::string_view> authorization,
                                RateLimiter::TimePoint now) {
  const std::string_view value = authorization.value_or("");
  std::string scheme(value.substr(0, kScheme.size()));
  for (char& c : scheme)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const std::string_view given =
      scheme == kScheme ? value.substr(kScheme.size()) : std::string_view();

  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return {.is_allowed = true};
  Entry* found = nullptr;
  for (Entry& entry : entries_)
    if (equals_in_constant_time(entry.key.secret, given)) found = &entry;
  if (found == nullptr) return {};
  Verdict verdict{.is_allowed = true, .name = found->key.name};
  if (found->limiter) verdict.retry_after_s = found->limiter->try_take(now);
  return verdict;
}

}  // namespace veloz::http
