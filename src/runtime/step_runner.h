// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "base/device.h"
#include "ops/op.h"
#include "runtime/batch.h"
#include "runtime/session.h"

namespace veloz::runtime {

/// What serving needs of a session. An interface, so that the generation loop is tested on a model
/// that a test writes.
class StepRunner {
 public:
  virtual ~StepRunner() = default;
  /// Logits [R, vocab_size] fp32 in device memory, valid until the next run.
  virtual TensorView run(const Batch& batch) = 0;
  /// Copies whole KV blocks (from, to); no `to` is also a `from`.
  virtual void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs) = 0;
  virtual void run_op(ops::Op op, std::span<const TensorView> inputs,
                      std::span<const TensorView> outputs, const ops::Attrs& attrs) = 0;
  /// Whether `run` takes a batch whose feeds are left to the device (Batch::sampled), and returns
  /// while it works.
  virtual bool takes_device_tokens() const { return false; }
  virtual Device& device() = 0;
  virtual Stream& stream() = 0;
};

/// A session as a StepRunner; the session outlives it.
class SessionRunner final : public StepRunner {
 public:
  explicit SessionRunner(Session& session) : session_(&session) {}

  TensorView run(const Batch& batch) override { return session_->run(batch); }
  void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs) override {
    session_->copy_kv_blocks(pairs);
  }
  void run_op(ops::Op op, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
              const ops::Attrs& attrs) override {
    session_->run_op(op, inputs, outputs, attrs);
  }
  bool takes_device_tokens() const override { return session_->takes_device_tokens(); }
  Device& device() override { return session_->device(); }
  Stream& stream() override { return session_->stream(); }

 private:
  Session* session_;
};

}  // namespace veloz::runtime
