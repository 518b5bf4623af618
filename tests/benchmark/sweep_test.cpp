// SPDX-License-Identifier: Apache-2.0
#include "benchmark/sweep.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

TEST(Sweep, ReadsALatencyRun) {
  const SweepRun run = parse_sweep_run("latency batch=8 in=16 out=64 iters=2 warmup=0 beams=4");
  EXPECT_EQ(run.mode, SweepMode::latency);
  EXPECT_EQ(run.latency.batch_size, 8);
  EXPECT_EQ(run.latency.input_len, 16);
  EXPECT_EQ(run.latency.output_len, 64);
  EXPECT_EQ(run.latency.num_iters, 2);
  EXPECT_EQ(run.latency.num_iters_warmup, 0);
  EXPECT_EQ(run.num_beams, 4);
}

TEST(Sweep, ReadsAThroughputRun) {
  const SweepRun run =
      parse_sweep_run(" throughput  prompts=7 file=a/b.jsonl temperature=0.5 warm=2.5 stop=9");
  EXPECT_EQ(run.mode, SweepMode::throughput);
  EXPECT_EQ(run.num_prompts, 7);
  EXPECT_EQ(run.file, "a/b.jsonl");
  EXPECT_EQ(run.temperature, 0.5);
  EXPECT_EQ(run.warm_s, 2.5);
  EXPECT_EQ(run.stop_s, 9.0);
}

TEST(Sweep, QuotesTheWordThatIsWrong) {
  for (const char* text : {"", "decode batch=1", "latency batch=0", "latency batch=8x",
                           "latency prompts=4", "latency batch", "throughput batch=4",
                           "throughput file=", "throughput stop=-1", "throughput warm=nan"})
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"is no part of a run"}, [&] {
      (void)parse_sweep_run(text);
    })) << text;
}

TEST(Sweep, TheRateOfCompletionIsOfWhatEndedBetweenTwoMoments) {
  const Throughput throughput{
      .elapsed_s = 10, .ended = {{2}, {3}, {5}, {5.5, /*is_complete=*/false}, {9}, {10, false}}};
  EXPECT_DOUBLE_EQ(completion_rate(throughput, 2, 6), 2.0 / 4);
  EXPECT_EQ(completion_rate(throughput, 6, 6), 0);
  // The last ended at 10: from there on nothing could be done.
  EXPECT_DOUBLE_EQ(completion_rate(throughput, 5, 1000), 1.0 / 5);
}

}  // namespace
}  // namespace veloz::benchmark
