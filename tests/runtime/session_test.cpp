// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::runtime {
namespace {

using test::TempDirectory;
using test::throws_error;
using test::TinyModel;

constexpr int64_t kBlocks = 6;

/// Host memory behind the Device interface. As DeviceKind::cuda it stands for an
/// accelerator, whose memory the runtime reaches through copies only.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(DeviceKind kind) : kind_(kind) {}
  DeviceKind kind() const override { return kind_; }
  std::string description() const override { return "fake"; }
  Buffer allocate(size_t bytes) override {
    ++num_allocations;
    void* memory = ::operator new (bytes, std::align_val_t{64});
    std::memset(memory, 0, bytes);
    return Buffer(memory, bytes, [](void* p) { ::operator delete (p, std::align_val_t{64}); });
  }
  std::unique_ptr<Stream> create_stream() override { return std::make_unique<FakeStream>(); }
  void copy_in(Stream& stream, void* to, const void* from, size_t bytes) override {
    ++num_copies_in;
    enqueue(stream, to, from, bytes);
  }
  void copy_out(Stream& stream, void* to, const void* from, size_t bytes) override {
    enqueue(stream, to, from, bytes);
  }
  void copy(Stream& stream, void* to, const void* from, size_t bytes) override {
    enqueue(stream, to, from, bytes);
  }

  int num_allocations = 0;
  int num_copies_in = 0;

 private:
  class FakeStream final : public Stream {
   public:
    void synchronize() override {}
  };
  static void enqueue(Stream&, void* to, const void* from, size_t bytes) {
    std::memcpy(to, from, bytes);
  }
  DeviceKind kind_;
};

/// A layout no kernel takes: columns in reverse order, panels of four rows, padded with zeros.
constexpr int64_t kPanel = 4;
size_t reversed_bytes(const Shape& shape) {
  return static_cast<size_t>((shape[0] + kPanel - 1) / kPanel * kPanel * shape[1]) * sizeof(float);
}
size_t reversed_offset(const Shape& shape, int64_t row) {
  return static_cast<size_t>(row * shape[1]) * sizeof(float);
}
void pack_reversed(const ops::PackRange& range, const std::byte* plain, std::byte* packed) {
  const int64_t columns = range.shape[1];
  for (int64_t row = 0; row < (range.row_end - range.row_begin + kPanel - 1) / kPanel * kPanel;
       ++row)
    for (int64_t i = 0; i < columns; ++i) {
      float value = 0;
      if (row < range.row_end - range.row_begin)
        std::memcpy(&value, plain + (row * columns + columns - 1 - i) * 4, 4);
      std::memcpy(packed + (row * columns + i) * 4, &value, 4);
    }
}
void unpack_reversed(const ops::PackRange& range, const std::byte* packed, std::byte* plain) {
  const int64_t columns = range.shape[1];
  for (int64_t row = 0; row < range.row_end - range.row_begin; ++row)
    for (int64_t i = 0; i < columns; ++i)
      std::memcpy(plain + (row * columns + columns - 1 - i) * 4, packed + (row * columns + i) * 4,
                  4);
}
std::vector<ops::WeightLayout> layouts_with_reversed() {
  std::vector<ops::WeightLayout> layouts = {{"reversed", DType::fp32, kPanel, reversed_bytes,
                                             reversed_offset, pack_reversed, unpack_reversed}};
  for (const ops::WeightLayout& layout : ops::plain_layouts()) layouts.push_back(layout);
  return layouts;
}
bool accepts_reversed_linear(const ops::KernelQuery& query) {
  return query.weight_layout == "reversed";
}

/// The model in double precision, from the formulas: logits after each token of one sequence.
class Oracle {
 public:
  explicit Oracle(const TinyModel& model) : w_(model.weights) {}

  std::array<double, 11> next(int32_t token) {
    const auto position = static_cast<double>(keys_.size());
    std::array<double, 8> x{}, h{};
    double squares = 0;
    for (size_t i = 0; i < 8; ++i) x[i] = w_[0][static_cast<size_t>(token) * 8 + i];
    for (const double value : x) squares += value * value;
    for (size_t i = 0; i < 8; ++i)
      h[i] = x[i] / std::sqrt(squares / 8 + TinyModel::kEps) * w_[1][i];
    std::array<double, 16> qkv{};
    for (size_t n = 0; n < 16; ++n)
      for (size_t k = 0; k < 8; ++k) qkv[n] += h[k] * w_[2][n * 8 + k];
    for (const size_t head : {0u, 4u, 8u}) rotate(&qkv[head], position);
    keys_.push_back({qkv[8], qkv[9], qkv[10], qkv[11]});
    values_.push_back({qkv[12], qkv[13], qkv[14], qkv[15]});
    std::array<double, 8> attended{};
    for (size_t head = 0; head < 2; ++head) attend(&qkv[head * 4], &attended[head * 4]);
    std::array<double, 11> logits{};
    for (size_t n = 0; n < 8; ++n)
      for (size_t k = 0; k < 8; ++k) x[n] += attended[k] * w_[3][n * 8 + k];
    for (size_t n = 0; n < 11; ++n)
      for (size_t k = 0; k < 8; ++k) logits[n] += x[k] * w_[0][n * 8 + k];
    return logits;
  }

 private:
  static void rotate(double* head, double position) {
    for (size_t i = 0; i < 2; ++i) {
      const double angle =
          position * std::pow(TinyModel::kTheta, -2.0 * static_cast<double>(i) / 4);
      const double a = head[i], b = head[i + 2];
      head[i] = a * std::cos(angle) - b * std::sin(angle);
      head[i + 2] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
  void attend(const double* q, double* y) const {
    double total = 0;
    for (size_t p = 0; p < keys_.size(); ++p) {
      double score = 0;
      for (size_t d = 0; d < 4; ++d) score += q[d] * keys_[p][d];
      const double weight = std::exp(0.5 * score);
      total += weight;
      for (size_t d = 0; d < 4; ++d) y[d] += weight * values_[p][d];
    }
    for (size_t d = 0; d < 4; ++d) y[d] /= total;
  }

  const std::vector<std::vector<float>>& w_;
  std::vector<std::array<double, 4>> keys_;
  std::vector<std::array<double, 4>> values_;
};

/// One sequence of a test: its blocks, and how far it is.
struct Sequence {
  std::vector<int32_t> tokens;
  std::vector<int32_t> blocks;
  int64_t done = 0;
};

/// Adds the next `count` tokens of a sequence to a batch, with logits for all of them.
void add_run(Batch& batch, Sequence& sequence, int64_t count) {
  batch.q_starts.push_back(static_cast<int32_t>(batch.num_tokens()));
  batch.q_lens.push_back(static_cast<int32_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t position = sequence.done++;
    batch.logit_rows.push_back(static_cast<int32_t>(batch.num_tokens()));
    batch.tokens.push_back(sequence.tokens[static_cast<size_t>(position)]);
    batch.positions.push_back(static_cast<int32_t>(position));
    batch.slots.push_back(sequence.blocks[static_cast<size_t>(position / 4)] * int64_t{4} +
                          position % 4);
  }
  batch.kv_lens.push_back(static_cast<int32_t>(sequence.done));
  batch.blocks_per_seq = 3;
  for (size_t i = 0; i < 3; ++i)
    batch.block_tables.push_back(i < sequence.blocks.size() ? sequence.blocks[i] : 0);
}

class SessionTest : public ::testing::Test {
 protected:
  void write(const TinyModel& model,
             const std::vector<ops::WeightLayout>& layouts = ops::plain_layouts()) {
    test::write_tiny_engine(temp_.path() / "engine", model, layouts,
                            engine::EngineWriter::Existing::replace);
  }
  std::unique_ptr<Session> load(Device& device, const ops::KernelRegistry& registry,
                                int64_t num_kv_blocks = kBlocks) {
    return std::make_unique<Session>(engine::Engine::open(temp_.path() / "engine"), device,
                                     registry, pool_, SessionOptions{num_kv_blocks});
  }
  std::vector<float> logits_of(Session& session, const Batch& batch) {
    const TensorView view = session.run(batch);
    EXPECT_EQ(view.shape, (Shape{static_cast<int64_t>(batch.logit_rows.size()), 11}));
    std::vector<float> logits(static_cast<size_t>(view.shape.num_elements()));
    session.device().copy_out(session.stream(), logits.data(), view.data, logits.size() * 4);
    session.stream().synchronize();
    return logits;
  }
  /// Two sequences in ragged steps, prefill chunks beside decode tokens, against the oracle.
  void expect_right_logits(Session& session) {
    std::array<Sequence, 2> sequences = {Sequence{{3, 1, 4, 1, 5, 9, 2, 6}, {4, 1}},
                                         Sequence{{10, 0, 7, 7, 8}, {5, 2, 0}}};
    std::array<Oracle, 2> oracles = {Oracle(model_), Oracle(model_)};
    const std::vector<std::array<int64_t, 2>> steps = {{3, 0}, {1, 3}, {3, 1}, {1, 0}, {0, 1}};
    for (const auto& counts : steps) {
      Batch batch;
      std::vector<double> expected;
      for (const size_t s : {1u, 0u}) {
        if (counts[s] == 0) continue;
        for (int64_t i = 0; i < counts[s]; ++i)
          for (const double logit :
               oracles[s].next(sequences[s].tokens[static_cast<size_t>(sequences[s].done + i)]))
            expected.push_back(logit);
        add_run(batch, sequences[s], counts[s]);
      }
      const std::vector<float> logits = logits_of(session, batch);
      ASSERT_EQ(logits.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 2e-6) << i;
    }
  }
  Batch one_token() {
    Batch batch;
    Sequence sequence{{3}, {0}};
    add_run(batch, sequence, 1);
    return batch;
  }

  const TempDirectory temp_;
  ThreadPool pool_{2};
  TinyModel model_ = test::tiny_model();
  FakeDevice cpu_{DeviceKind::cpu};
  const ops::KernelRegistry references_{ops::reference_kernels(), ops::plain_layouts()};
};

TEST_F(SessionTest, ComputesTheModelInRaggedSteps) {
  write(model_);
  const auto session = load(cpu_, references_);
  expect_right_logits(*session);
  EXPECT_TRUE(session->repacks().empty());
  ASSERT_EQ(session->kernel_names().size(), 12u);
  EXPECT_EQ(session->kernel_names()[0], "embedding/reference");
}

TEST_F(SessionTest, ReportsItsMemory) {
  write(model_);
  const auto session = load(cpu_, references_);
  const MemoryUse memory = session->memory();
  EXPECT_EQ(kv_block_bytes(session->plan()), 2u * 4 * 4 * 4);
  EXPECT_EQ(memory.kv_cache_bytes, kBlocks * kv_block_bytes(session->plan()));
  EXPECT_EQ(memory.weight_bytes, 384u + 64 + 512 + 256);
  EXPECT_EQ(memory.arena_bytes, static_cast<size_t>(model_.plan.programs[0].arena_bytes));
}

TEST_F(SessionTest, StagesWeightsAndInputsOnOtherDevices) {
  write(model_);
  FakeDevice other(DeviceKind::cuda);
  const auto session = load(other, references_);
  const int num_weights = 4;
  EXPECT_EQ(other.num_copies_in, num_weights);
  expect_right_logits(*session);
  EXPECT_EQ(other.num_copies_in, num_weights + 5) << "one copy for the inputs of each step";
}

/// Decode steps, which such a device pads, and steps with a chunk.
TEST_F(SessionTest, TakesTokensThatTheDeviceSampled) {
  write(model_);
  FakeDevice other(DeviceKind::cuda);
  const auto told = load(other, references_);
  const auto fed = load(other, references_);
  EXPECT_TRUE(fed->takes_device_tokens());
  EXPECT_FALSE(load(cpu_, references_)->takes_device_tokens());
  std::array<int32_t, 2> sampled = {0, 0};
  for (const int64_t count : {1, 3}) {
    std::array<Sequence, 2> sequences = {Sequence{{3, 1, 4, 1, 5, 9, 2, 6}, {4, 1}},
                                         Sequence{{10, 0, 7, 7, 8}, {5, 2, 0}}};
    for (int i = 0; i < 2; ++i) {
      Batch batch;
      add_run(batch, sequences[0], count);
      add_run(batch, sequences[1], 1);
      const std::vector<float> expected = logits_of(*told, batch);
      const auto last = static_cast<int32_t>(batch.num_tokens()) - 1;
      sampled = {batch.tokens.back(), batch.tokens.front()};
      batch.feeds = {{0, 1}, {last, 0}};
      batch.tokens.front() = batch.tokens.back() = 0;
      batch.sampled = {sampled.data(), DType::int32, {2}};
      EXPECT_EQ(logits_of(*fed, batch), expected) << count << " " << i;
    }
  }
}

TEST_F(SessionTest, AllocatesNothingAfterItsConstruction) {
  write(model_);
  const auto session = load(cpu_, references_);
  const int before = cpu_.num_allocations;
  expect_right_logits(*session);
  const std::array<std::pair<int32_t, int32_t>, 1> pairs = {{{0, 1}}};
  session->copy_kv_blocks(pairs);
  EXPECT_EQ(cpu_.num_allocations, before);
}

TEST_F(SessionTest, RepacksALayoutThatNoKernelTakes) {
  for (engine::PlanWeight& weight : model_.plan.weights)
    if (weight.shape.rank() == 2) weight.layout = "reversed";
  write(model_, layouts_with_reversed());
  const ops::KernelRegistry registry(ops::reference_kernels(), layouts_with_reversed());
  for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::cuda}) {
    FakeDevice device(kind);
    const auto session = load(device, registry);
    expect_right_logits(*session);
    ASSERT_EQ(session->repacks().size(), 3u);
    EXPECT_EQ(session->repacks()[0], "embed: reversed -> plain, 384 B");
  }
}

TEST_F(SessionTest, HasEachStepsKernelPrepareAndKeepsWhatItSays) {
  write(model_);
  std::vector<ops::Kernel> kernels = ops::reference_kernels();
  for (ops::Kernel& kernel : kernels)
    if (kernel.op == ops::Op::embedding)
      kernel.prepare = [](Stream&, const ops::KernelQuery& query,
                          const ops::Binding& most) -> std::vector<std::string> {
        return {fmt::format("up to {} tokens of table {}", query.inputs[0].bind(most)[0],
                            to_string(query.inputs[1].bind(most)))};
      };
  const ops::KernelRegistry registry(std::move(kernels), ops::plain_layouts());
  const auto session = load(cpu_, registry);
  const int64_t most_tokens = model_.plan.limits.max_num_batched_tokens;
  EXPECT_EQ(session->notices(),
            std::vector<std::string>{
                fmt::format("up to {} tokens of table {}", most_tokens, to_string(Shape{11, 8}))});
  expect_right_logits(*session);
}

TEST_F(SessionTest, RefusesALayoutItDoesNotKnow) {
  model_.plan.weights[2].layout = "reversed";
  write(model_, layouts_with_reversed());
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"\"reversed\"", "plain"},
                           [&] { load(cpu_, references_); }));
}

TEST_F(SessionTest, RefusesATiedTableWhoseReadersAgreeOnNoLayout) {
  write(model_);
  std::vector<ops::Kernel> kernels = ops::reference_kernels();
  for (ops::Kernel& kernel : kernels)
    if (kernel.op == ops::Op::linear) kernel.accepts = accepts_reversed_linear;
  const ops::KernelRegistry registry(kernels, layouts_with_reversed());
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {"no kernel here runs embedding, linear", "\"embed\"", "[11, 8]"},
                           [&] { load(cpu_, registry); }));
}

TEST_F(SessionTest, RefusesStoredBytesThatAreNotTheLayouts) {
  model_.plan.weights[0].layout = "reversed";
  std::vector<ops::WeightLayout> short_layouts = layouts_with_reversed();
  short_layouts[0].packed_bytes = [](const Shape& shape) { return reversed_bytes(shape) + 64; };
  write(model_, short_layouts);
  const ops::KernelRegistry registry(ops::reference_kernels(), layouts_with_reversed());
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"\"embed\"", "448 bytes", "takes 384"},
                           [&] { load(cpu_, registry); }));
}

TEST_F(SessionTest, RefusesAnImpossibleCache) {
  write(model_);
  for (const int64_t blocks : {int64_t{0}, int64_t{-1}, int64_t{1} << 31})
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"KV cache of"},
                             [&] { load(cpu_, references_, blocks); }));
}

TEST_F(SessionTest, StartsWithZeroedCachesAndCopiesWholeBlocks) {
  write(model_);
  const auto session = load(cpu_, references_);
  const float* cache = nullptr;
  session->set_step_hook([&](size_t step, const ops::OpCall& call, bool) {
    if (step == 6) cache = call.inputs[0].as<const float>();
  });
  Batch batch = one_token();
  logits_of(*session, batch);
  ASSERT_NE(cache, nullptr);
  const size_t block = kv_block_bytes(session->plan()) / 4;
  const std::vector<float> first(cache, cache + block);
  EXPECT_TRUE(std::ranges::any_of(first, [](float value) { return value != 0; }));
  for (size_t i = block; i < kBlocks * block; ++i) ASSERT_EQ(cache[i], 0.0f) << i;
  const std::array<std::pair<int32_t, int32_t>, 3> pairs = {{{0, 3}, {3, 5}, {2, 2}}};
  session->copy_kv_blocks(pairs);
  for (const size_t copy : {3u, 5u})
    EXPECT_TRUE(std::equal(first.begin(), first.end(), cache + copy * block)) << copy;
  EXPECT_EQ(cache[4 * block], 0.0f);
  const std::array<std::pair<int32_t, int32_t>, 1> beyond = {{{0, kBlocks}}};
  EXPECT_TRUE(throws_error(ErrorKind::internal, {"block 0 is copied to 6", "has 6"},
                           [&] { session->copy_kv_blocks(beyond); }));
}

TEST_F(SessionTest, SkipsTheHeadWhereNoLogitsAreWanted) {
  write(model_);
  const auto session = load(cpu_, references_);
  std::vector<size_t> begun;
  session->set_step_hook([&](size_t step, const ops::OpCall&, bool done) {
    if (!done) begun.push_back(step);
  });
  Batch batch = one_token();
  batch.logit_rows.clear();
  EXPECT_EQ(session->run(batch).shape, (Shape{0, 11}));
  EXPECT_EQ(begun, (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(SessionTest, RunsAnOpOutsideTheProgram) {
  write(model_);
  const auto session = load(cpu_, references_);
  std::vector<float> a = {1, 2, 3, 4}, b = {10, 20, 30, 40}, y(4);
  const std::array<TensorView, 2> inputs = {TensorView(a.data(), DType::fp32, {2, 2}),
                                            TensorView(b.data(), DType::fp32, {2, 2})};
  const std::array<TensorView, 1> outputs = {TensorView(y.data(), DType::fp32, {2, 2})};
  session->run_op(ops::Op::add, inputs, outputs, {});
  EXPECT_EQ(y, (std::vector<float>{11, 22, 33, 44}));
  const std::array<TensorView, 1> wrong = {TensorView(y.data(), DType::fp32, {4, 1})};
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"no kernel runs add"},
                           [&] { session->run_op(ops::Op::add, inputs, wrong, {}); }));
}

void feed(Batch& batch, TokenFeed feed) {
  static std::array<int32_t, 2> sampled = {1, 2};
  batch.feeds = {feed};
  batch.sampled = {sampled.data(), DType::int32, {2}};
}

struct BadBatch {
  std::string_view message;
  void (*damage)(Batch& batch);
};

TEST_F(SessionTest, RefusesABatchBeyondItsLimits) {
  write(model_);
  const auto session = load(cpu_, references_);
  const std::vector<BadBatch> cases = {
      {"a step of 0 tokens", [](Batch& b) { b = {}; }},
      {"a step of 17 tokens", [](Batch& b) { b.tokens.resize(17); }},
      {"a step of 5 sequences", [](Batch& b) { b.q_starts.resize(5); }},
      {"5 logit rows", [](Batch& b) { b.logit_rows.resize(5); }},
      {"1 tokens with 2 positions", [](Batch& b) { b.positions.push_back(0); }},
      {"1 tokens with 1 positions and 0 slots", [](Batch& b) { b.slots.clear(); }},
      {"1 sequences with 0 q_lens", [](Batch& b) { b.q_lens.clear(); }},
      {"2 block table entries", [](Batch& b) { b.block_tables.pop_back(); }},
      {"block tables of 9 entries",
       [](Batch& b) {
         b.blocks_per_seq = 9;
         b.block_tables.resize(9);
       }},
      {"block tables of 0 entries",
       [](Batch& b) {
         b.blocks_per_seq = 0;
         b.block_tables.clear();
       }},
      {"token 0 has id 11, the embedding 11 rows", [](Batch& b) { b.tokens[0] = 11; }},
      {"token 0 has id -1", [](Batch& b) { b.tokens[0] = -1; }},
      {"position 32, max_model_len is 32", [](Batch& b) { b.positions[0] = 32; }},
      {"position -1", [](Batch& b) { b.positions[0] = -1; }},
      {"slot 24 of a cache of 24", [](Batch& b) { b.slots[0] = 24; }},
      {"slot -1", [](Batch& b) { b.slots[0] = -1; }},
      {"token 1 of 1 is fed row 0 of 2",
       [](Batch& b) {
         feed(b, {1, 0});
       }},
      {"token 0 of 1 is fed row 2 of 2",
       [](Batch& b) {
         feed(b, {0, 2});
       }},
      {"runs from token 0 to 2 of 1", [](Batch& b) { b.q_lens[0] = 2; }},
      {"runs from token -1", [](Batch& b) { b.q_starts[0] = -1; }},
      {"runs from token 0 to 0", [](Batch& b) { b.q_lens[0] = 0; }},
      {"has 0 positions", [](Batch& b) { b.kv_lens[0] = 0; }},
      {"has 13 positions, 1 tokens of this step and 3 blocks", [](Batch& b) { b.kv_lens[0] = 13; }},
      {"block 0 of sequence 0 is 6, the cache has 6", [](Batch& b) { b.block_tables[0] = 6; }},
      {"block 2 of sequence 0 is -1", [](Batch& b) { b.block_tables[2] = -1; }},
      {"logits of token 1 of 1", [](Batch& b) { b.logit_rows[0] = 1; }},
      {"logits of token -1", [](Batch& b) { b.logit_rows[0] = -1; }},
  };
  for (const BadBatch& bad : cases) {
    Batch batch = one_token();
    bad.damage(batch);
    EXPECT_TRUE(throws_error(ErrorKind::internal, {bad.message}, [&] { session->run(batch); }));
  }
  EXPECT_EQ(logits_of(*session, one_token()).size(), 11u);
}

}  // namespace
}  // namespace veloz::runtime
