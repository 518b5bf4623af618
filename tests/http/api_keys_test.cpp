// SPDX-License-Identifier: Apache-2.0
#include "http/api_keys.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "http/rate_limit.h"

namespace veloz::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A file that goes away with the test.
class KeyFile {
 public:
  explicit KeyFile(const std::string& text)
      : path_(std::filesystem::path(testing::TempDir()) /
              fmt::format("veloz_keys_{}",
                          testing::UnitTest::GetInstance()->current_test_info()->name())) {
    write(text);
  }
  ~KeyFile() { std::filesystem::remove(path_); }

  void write(const std::string& text) { std::ofstream(path_) << text; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(ApiKeys, LetEverybodyInWhereThereAreNone) {
  ApiKeys keys({});
  EXPECT_TRUE(keys.is_open());
  EXPECT_TRUE(keys.check(std::nullopt, steady_clock::now()).is_allowed);
}

TEST(ApiKeys, LetInWhoHasOneOfThem) {
  ApiKeys keys({.keys = {"first", "second"}});
  EXPECT_FALSE(keys.is_open());
  const auto now = steady_clock::now();
  EXPECT_TRUE(keys.check("Bearer first", now).is_allowed);
  EXPECT_TRUE(keys.check("bearer second", now).is_allowed);
  for (const char* header : {"", "Bearer", "Bearer ", "first", "Basic first", "Bearer firs",
                             "Bearer firstt", "Bearer First", "Bearer first ", "Bearer  first"})
    EXPECT_FALSE(keys.check(header, now).is_allowed) << header;
  EXPECT_FALSE(keys.check(std::nullopt, now).is_allowed);
}

TEST(ApiKeys, AreNamedInLogsWithoutTellingTheKey) {
  ApiKeys keys({.keys = {"secret-one", "secret-two"}});
  const std::string one = keys.check("Bearer secret-one", steady_clock::now()).name;
  const std::string two = keys.check("Bearer secret-two", steady_clock::now()).name;
  EXPECT_EQ(one.size(), std::string("key-01234567").size());
  EXPECT_NE(one, two);
  EXPECT_EQ(one.find("secret"), std::string::npos);
}

TEST(ApiKeys, AreReadFromAFileWithNamesAndLimits) {
  const KeyFile file(
      "# our people\n\n  sk-alice name=alice rpm=60 burst=2  # the first\nsk-bob\r\n");
  const std::vector<ApiKey> keys = read_api_keys(file.path());
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].secret, "sk-alice");
  EXPECT_EQ(keys[0].name, "alice");
  EXPECT_EQ(keys[0].limit->requests_per_minute, 60);
  EXPECT_EQ(keys[0].limit->burst, 2);
  EXPECT_EQ(keys[1].secret, "sk-bob");
  EXPECT_FALSE(keys[1].limit);
}

TEST(ApiKeys, AreNoneInALineOfBlanksOfAnyKind) {
  const KeyFile blanks("\f\n\v\n \t\r\n\f # nothing\n");
  EXPECT_THROW(read_api_keys(blanks.path()), Error);
  const KeyFile file("\f\n\vsk-1\f\n");
  ASSERT_EQ(read_api_keys(file.path()).size(), 1u);
  ApiKeys keys({.file = file.path()});
  EXPECT_TRUE(keys.check("Bearer sk-1", steady_clock::now()).is_allowed);
  for (const auto header :
       {std::optional<std::string_view>(), std::optional<std::string_view>(""),
        std::optional<std::string_view>("Bearer "), std::optional<std::string_view>("Bearer x")})
    EXPECT_FALSE(keys.check(header, steady_clock::now()).is_allowed) << header.value_or("none");
}

TEST(ApiKeys, AreNeverEmpty) {
  try {
    ApiKeys keys({.keys = {"good", ""}});
    FAIL() << "an empty key is taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_EQ(e.message(), "an --api-key is empty");
  }
}

TEST(ApiKeys, FileThatCannotBeReadSaysWhere) {
  for (const char* text : {"", "# nothing\n", "k rpm=0\n", "k rpm=x\n", "k rpm=\n", "k burst=3\n",
                           "k colour=red\n", "k name=\n", "k rpm=nan\n", "k rpm=1e999\n"}) {
    const KeyFile file(text);
    EXPECT_THROW(read_api_keys(file.path()), Error) << text;
  }
  const KeyFile file("good\nbad rpm=-1\n");
  try {
    read_api_keys(file.path());
    FAIL() << "a negative rate is taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_NE(e.message().find(":2: \"-1\" is no number"), std::string::npos) << e.message();
  }
  EXPECT_THROW(read_api_keys("/nonexistent/keys"), Error);
}

TEST(ApiKeys, AreRenewedFromTheirFileAndStayWhereItIsBad) {
  KeyFile file("old\n");
  ApiKeys keys({.file = file.path()});
  file.write("new\n");
  keys.reload();
  EXPECT_FALSE(keys.check("Bearer old", steady_clock::now()).is_allowed);
  EXPECT_TRUE(keys.check("Bearer new", steady_clock::now()).is_allowed);
  file.write("broken rpm=?\n");
  EXPECT_THROW(keys.reload(), Error);
  EXPECT_TRUE(keys.check("Bearer new", steady_clock::now()).is_allowed);
}

TEST(ApiKeys, AreLimitedEachByItself) {
  const KeyFile file("a rpm=60 burst=1\nb\n");
  ApiKeys keys({.keys = {"c"}, .file = file.path(), .limit = RateLimit{60, 2}});
  const auto now = steady_clock::now() + milliseconds(10);
  EXPECT_FALSE(keys.check("Bearer a", now).retry_after_s);
  EXPECT_TRUE(keys.check("Bearer a", now).retry_after_s);
  for (const char* key : {"Bearer b", "Bearer c"}) {
    EXPECT_FALSE(keys.check(key, now).retry_after_s);
    EXPECT_FALSE(keys.check(key, now).retry_after_s);
    EXPECT_TRUE(keys.check(key, now).retry_after_s) << "the limit of those without one";
  }
}

TEST(RateLimiter, LetsABurstThroughAndThenTheRate) {
  const auto start = steady_clock::time_point{};
  RateLimiter limiter({.requests_per_minute = 60, .burst = 3}, start);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.try_take(start));
  EXPECT_DOUBLE_EQ(limiter.try_take(start).value(), 1.0);
  EXPECT_NEAR(limiter.try_take(start + milliseconds(250)).value(), 0.75, 1e-9);
  EXPECT_FALSE(limiter.try_take(start + milliseconds(1001)));
  EXPECT_TRUE(limiter.try_take(start + milliseconds(1001)));
}

TEST(RateLimiter, SavesNoMoreThanItsBurst) {
  const auto start = steady_clock::time_point{};
  RateLimiter limiter({.requests_per_minute = 60, .burst = 2}, start);
  const auto later = start + std::chrono::hours(1);
  EXPECT_FALSE(limiter.try_take(later));
  EXPECT_FALSE(limiter.try_take(later));
  EXPECT_TRUE(limiter.try_take(later));
}

}  // namespace
}  // namespace veloz::http
