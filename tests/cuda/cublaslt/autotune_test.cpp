// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/autotune.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "support/expect_error.h"

namespace veloz::cuda {
namespace {

/// Algorithm i takes times[i] of a round (brief, final), or does not run where that is 0.
class FakeTimer final : public GemmTimer {
 public:
  explicit FakeTimer(std::vector<std::pair<double, double>> times) : times_(std::move(times)) {}

  std::vector<GemmAlgorithm> candidates(const Gemm& gemm, int at_most) override {
    asked_.push_back(gemm);
    std::vector<GemmAlgorithm> algorithms;
    for (size_t i = 0; i < times_.size() && i < static_cast<size_t>(at_most); ++i)
      algorithms.push_back({{static_cast<std::byte>(i)}, i * 100});
    return algorithms;
  }
  double seconds(const Gemm&, const GemmAlgorithm& algorithm, int num_samples) override {
    if (error_ != ErrorKind::unsupported) throw Error(error_, "the device is gone");
    const auto [brief, final] = times_[static_cast<size_t>(algorithm.blob[0])];
    const bool is_brief = !longest_.contains(algorithm.blob[0]);
    longest_[algorithm.blob[0]] = num_samples;
    if (brief == 0) throw Error(ErrorKind::unsupported, "not on this device");
    return is_brief ? brief : final;
  }

  std::vector<std::pair<double, double>> times_;
  std::vector<Gemm> asked_{};
  std::map<std::byte, int> longest_{};  // samples of the last time an algorithm was timed
  ErrorKind error_ = ErrorKind::unsupported;
};

const Gemm kGemm{.tokens = 16, .n = 64, .k = 128};

int chosen(const std::optional<TunedGemm>& tuned) {
  return tuned ? static_cast<int>(tuned->algorithm.blob[0]) : -1;
}

TEST(Autotune, TakesTheFastest) {
  FakeTimer timer({{3, 3}, {2, 2}, {4, 4}});
  const auto tuned = autotune(kGemm, timer);
  EXPECT_EQ(chosen(tuned), 1);
  EXPECT_DOUBLE_EQ(tuned->microseconds, 2e6);
  EXPECT_EQ(tuned->algorithm.workspace_bytes, 100u);
}

TEST(Autotune, TimesTheBestAgainAndLongerBeforeItDecides) {
  FakeTimer timer({{5, 5}, {1.0, 1.3}, {1.1, 1.1}, {9, 0.1}, {1.2, 1.2}});
  EXPECT_EQ(chosen(autotune(kGemm, timer)), 2);
  EXPECT_GT(timer.longest_[std::byte{2}], timer.longest_[std::byte{3}]);
}

TEST(Autotune, LeavesOutWhatDoesNotRun) {
  FakeTimer timer({{0, 0}, {7, 7}, {0, 0}});
  EXPECT_EQ(chosen(autotune(kGemm, timer)), 1);
}

TEST(Autotune, TakesTheLibrarysFirstOfEquallyFastOnes) {
  FakeTimer timer({{2, 2}, {2, 2}, {2, 2}});
  EXPECT_EQ(chosen(autotune(kGemm, timer)), 0);
}

TEST(Autotune, FindsNothingWhereNothingRuns) {
  FakeTimer none({});
  EXPECT_EQ(chosen(autotune(kGemm, none)), -1);
  FakeTimer broken({{0, 0}});
  EXPECT_EQ(chosen(autotune(kGemm, broken)), -1);
}

TEST(Autotune, PassesOnALostDevice) {
  FakeTimer timer({{2, 2}});
  timer.error_ = ErrorKind::internal;
  EXPECT_TRUE(test::throws_error(ErrorKind::internal, {"the device is gone"},
                                 [&] { (void)autotune(kGemm, timer); }));
}

TEST(TuneMissing, TunesEachBucketOnceAndOnlyWhatIsNotKnown) {
  TuningCache cache({"GPU", "lib 1"});
  cache.put(kGemm, {{{std::byte{9}}, 0}, 1.0});
  std::vector<Gemm> gemms(4, kGemm);
  gemms[0].tokens = 9;   // bucket 16: known
  gemms[1].tokens = 17;  // 32
  gemms[2].tokens = 30;  // 32 again
  gemms[3].tokens = 3;   // 4
  FakeTimer timer({{2, 2}});
  const TuneReport report = tune_missing(gemms, cache, timer);
  EXPECT_EQ(report.num_known, 1);
  EXPECT_EQ(report.num_tuned, 2);
  ASSERT_EQ(timer.asked_.size(), 2u);
  EXPECT_EQ(timer.asked_[0].tokens, 32);
  EXPECT_EQ(timer.asked_[1].tokens, 4);
  EXPECT_EQ(cache.find(kGemm)->algorithm.blob[0], std::byte{9});
  EXPECT_NE(cache.find(gemms[2]), nullptr);
}

TEST(TuneMissing, SaysWhichProductHasNoAlgorithm) {
  TuningCache cache({"GPU", "lib 1"});
  FakeTimer timer({});
  const TuneReport report = tune_missing(std::vector<Gemm>{kGemm}, cache, timer);
  ASSERT_EQ(report.notices.size(), 1u);
  EXPECT_NE(report.notices[0].find(to_string(kGemm)), std::string::npos);
  EXPECT_EQ(cache.size(), 0u);
}

}  // namespace
}  // namespace veloz::cuda
