// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/autotune.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
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

  double our_seconds(const Gemm&, int) override { return our_seconds_; }
  bool has_our_bits(const Gemm&, const GemmAlgorithm& algorithm) override {
    compared_.push_back(static_cast<int>(algorithm.blob[0]));
    return with_our_bits_.contains(compared_.back());
  }

  std::vector<std::pair<double, double>> times_;
  double our_seconds_ = 100;
  std::set<int> with_our_bits_{};
  std::vector<int> compared_{};
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

TEST(Autotune, TakesTheFastestThatHasOurBitsWhereNoOthersWillDo) {
  Gemm gemm = kGemm;
  gemm.same_bits = true;
  FakeTimer timer({{6, 6}, {1, 1}, {5, 4}, {3, 3}, {4, 5}, {7, 0.1}});
  timer.with_our_bits_ = {0, 2, 4, 5};
  EXPECT_EQ(chosen(autotune(gemm, timer)), 2);
  EXPECT_EQ(timer.compared_, (std::vector<int>{1, 3, 4, 2, 0}))
      << "from the fastest on, until three";
  timer.compared_.clear();
  EXPECT_EQ(chosen(autotune(kGemm, timer)), 5);
  EXPECT_TRUE(timer.compared_.empty()) << "where bits may differ, nobody asks";
}

TEST(Autotune, LeavesToOurKernelWhatNoSuchAlgorithmDoesFaster) {
  Gemm gemm = kGemm;
  gemm.same_bits = true;
  const auto is_ours = [&](FakeTimer timer) {
    const auto tuned = autotune(gemm, timer);
    return tuned && tuned->algorithm.is_ours();
  };
  FakeTimer other_bits({{2, 2}, {3, 3}});
  EXPECT_TRUE(is_ours(other_bits));
  FakeTimer slower({{2, 2}});
  slower.with_our_bits_ = {0};
  slower.our_seconds_ = 2;
  EXPECT_TRUE(is_ours(slower));
  slower.our_seconds_ = 2.1;
  EXPECT_FALSE(is_ours(slower));
  EXPECT_TRUE(is_ours(FakeTimer({}))) << "no library";
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

TEST(TuneMissing, RemembersWhatIsLeftToOurKernel) {
  TuningCache cache({"GPU", "lib 1"});
  FakeTimer timer({{2, 2}});
  Gemm gemm = kGemm;
  gemm.same_bits = true;
  const TuneReport report = tune_missing(std::vector<Gemm>{gemm}, cache, timer);
  EXPECT_EQ(report.num_tuned, 1);
  EXPECT_EQ(report.num_ours, 1);
  EXPECT_TRUE(cache.find(gemm)->algorithm.is_ours());
  EXPECT_EQ(cache.find(kGemm), nullptr) << "the same product, of whatever bits, is another entry";
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
