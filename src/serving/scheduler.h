// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kv/block_pool.h"
#include "kv/prefix_cache.h"
#include "serving/cost_model.h"
#include "serving/demand.h"
#include "serving/request.h"
#include "serving/sequence.h"
#include "serving/step.h"

namespace veloz::serving {

class StepBuilder;

struct SchedulerOptions {
  SchedulingPolicy policy = SchedulingPolicy::guaranteed_no_evict;
  bool enable_prefix_caching = true;
  std::chrono::milliseconds priority_step{10'000};  // of waiting that a level of priority is worth
  double target_step_s = 0;  // prompts are cut so that a step takes no longer, unless its decodes
                             // and the smallest chunk of one prompt do; 0: no target
  CostCoefficients costs{};  // where the cost model starts from
};

/// Levels of priority beyond these are no more or less urgent.
inline constexpr int64_t kMaxPriority = 100;

/// A request as the scheduler takes it.
struct Submission {
  RequestId id{};
  std::vector<int32_t> prompt_tokens;
  Demand demand;
  int64_t prompt_rows = 1;  // logits wanted at the end of the prompt: one per choice, 1 for beams
  bool wants_prompt_logits = false;  // of every prompt token but the last, too
  int64_t priority = 0;              // lower is more urgent
  TimePoint arrival{};
  std::optional<TimePoint> deadline{};
  std::string cache_salt{};
};

/// Decides which tokens are computed next. Pure and deterministic: no clock, thread, device or log.
///
/// The most urgent comes first (see Urgency). Every running group that can gets its next token in
/// every step; prompts share what is left of the step's budget, in chunks. While a step is in
/// flight another may be scheduled behind it, for sequences that have known tokens left and for
/// those whose next token the step in flight decides: that token is fed to it. Nothing is paused
/// meanwhile, and nobody waits for ever: the most urgent group takes part in every step that is
/// scheduled with nothing in flight, whatever must be paused for it.
/// Invariants: check_invariants().
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits, const SchedulerOptions& options = {});

  /// Throws as check_fits.
  void submit(Submission submission);
  /// Ends all groups whose deadline has come; who they are.
  std::vector<RequestId> remove_expired(TimePoint now);

  /// The next step, empty where nothing can be done before the steps in flight are complete. Each
  /// other one must be completed or abandoned, in order; at most two are in flight.
  Step schedule();
  /// The step ran: what it scheduled is in the cache. Before its groups advance.
  void complete(const Step& step);
  /// The step failed; its groups are then removed.
  void abandon(const Step& step);
  /// The group, in whose favour a step decided, goes on with these sequences, in this order; those
  /// without a child give their blocks back. No children: the group ends.
  void advance(SequenceGroup& group, std::span<const Child> children);
  /// Ends a waiting or running group; unknown ids are ignored.
  void remove(RequestId id);
  /// A step of this work took so long.
  void observe(const StepWork& work, double seconds) { cost_.observe(work, seconds); }

  struct Counts {
    int64_t num_preemptions = 0;
    int64_t num_prefix_queries = 0;  // prompt tokens looked up
    int64_t num_prefix_hits = 0;     // of them, found
  };

  const SchedulerLimits& limits() const { return limits_; }
  const kv::BlockPool& pool() const { return pool_; }
  const Counts& counts() const { return counts_; }
  const CostModel& cost() const { return cost_; }
  int64_t num_waiting() const { return std::ssize(waiting_); }
  int64_t num_waiting_tokens() const { return num_waiting_tokens_; }  // of their prompts
  int64_t num_running() const { return std::ssize(running_); }
  /// Most urgent first.
  std::span<const std::shared_ptr<SequenceGroup>> running() const { return running_; }

  /// Throws Error(internal) where a rule is broken.
  void check_invariants() const;

 private:
  using Group = std::shared_ptr<SequenceGroup>;
  /// What a step has left for prompts, beside a token and a row per decoding sequence.
  struct Budget {
    int64_t num_tokens = 0;
    int64_t num_rows = 0;
    StepWork work;         // of the step so far, and of the decodes to come
    bool is_first = true;  // no chunk has been cut yet
  };

  bool must_wait_for_step_in_flight() const;
  Budget open_budget() const;
  bool has_time(const SequenceGroup& newcomer, const Budget& budget) const;
  Step begin(Step step);
  bool add_decode(const Group& group, StepBuilder& builder);
  bool add_chunks(const Group& group, StepBuilder& builder, Budget& budget);
  int64_t wanted_chunk(const SequenceGroup& group, const Sequence& sequence,
                       const Budget& budget) const;
  bool make_room(const SequenceGroup& group, int64_t num_blocks, const StepBuilder& builder);
  Group try_admit(Budget& budget);
  bool try_begin(SequenceGroup& group);
  int64_t headroom() const;
  void pause_last();
  void forget(SequenceGroup& group);

  SchedulerLimits limits_;
  SchedulerOptions options_;
  CostModel cost_;
  kv::BlockPool pool_;
  std::optional<kv::PrefixCache> prefixes_;
  std::unordered_map<RequestId, Group> groups_;
  std::map<Urgency, Group> waiting_;
  std::vector<Group> running_;  // most urgent first
  std::set<std::pair<TimePoint, RequestId>> deadlines_;
  uint64_t next_ticket_ = 0;
  int64_t num_steps_ = 0;
  int64_t num_in_flight_ = 0;
  bool can_run_ahead_ = true;        // of the last step: one more may follow before it completes
  bool needs_pause_ = false;         // somebody waits for a pause, and so for the steps in flight
  int64_t num_reserved_blocks_ = 0;  // by running groups
  int64_t num_reserved_seqs_ = 0;
  int64_t num_waiting_tokens_ = 0;
  Counts counts_;
};

}  // namespace veloz::serving
