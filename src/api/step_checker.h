// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "api/backend.h"
#include "api/verify_engine.h"
#include "engine/engine.h"
#include "runtime/kernel_choice.h"
#include "runtime/session.h"

namespace veloz::api {

/// Checks a session's steps as they run: a step hook. Takes a copy of each step's operands to the
/// host, runs the op's reference on it, compares, and puts the reference's outputs in the place of
/// the kernel's, so that the next step begins with them.
class StepChecker {
 public:
  /// `session` is of this engine on this backend; all outlive it.
  StepChecker(const engine::Engine& engine, Backend& backend, runtime::Session& session);

  /// Before and after step `step` of the program.
  void on_step(size_t step, const ops::OpCall& call, bool is_done);
  /// Of the checks that follow.
  void set_phase(std::string phase) { phase_ = std::move(phase); }
  std::vector<OutputCheck> take_checks() { return std::move(checks_); }

 private:
  /// A tensor of the device on the host: weights plain, caches as the references have them.
  struct HostTensor {
    std::vector<std::byte> bytes;
    TensorView view;
  };

  HostTensor download(const TensorView& view, size_t value);
  void upload(const HostTensor& tensor, const TensorView& view, size_t value);
  void run_reference(const engine::PlanStep& step);
  OutputCheck compare(const engine::PlanStep& step, size_t output, const TensorView& actual);
  bool is_cache(size_t value) const;

  const engine::Program& program_;
  const engine::Plan& plan_;
  Backend& backend_;
  runtime::Session& session_;
  const runtime::KernelChoice choice_;
  std::string phase_;
  std::vector<HostTensor> inputs_, outputs_;  // of the step that runs
  std::vector<TensorView> input_views_, output_views_;
  std::vector<OutputCheck> checks_;
};

}  // namespace veloz::api
