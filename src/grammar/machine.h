// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "grammar/program.h"

namespace veloz::grammar {

/// One place where the text read so far can be: a state, the call it is in, and how often that
/// call's loop has gone round.
struct Item {
  uint32_t state = 0;
  uint32_t call = 0;
  uint32_t count = 0;
  bool operator==(const Item&) const = default;
};

/// Runs a Program over bytes, all readings of the text at once.
///
/// A call is a record of where to go on after it. All that call one rule at one place of the text
/// share one record, so readings never multiply. Records are kept on a stack that is cut back, not
/// freed one by one; they do not change once the byte that made them is read.
class Machine {
 public:
  static constexpr uint32_t kOutside = 0;  // the call that rule 0, or the rule under study, is in

  /// The items after some byte, and how high the stacks were then.
  struct Frame {
    uint32_t begin = 0;  // items()
    uint32_t end = 0;
    uint32_t num_calls = 1;
    uint32_t num_returns = 0;
    bool is_complete = false;  // the call `kOutside` may end here
    bool is_dead() const { return begin == end && !is_complete; }
  };

  explicit Machine(const Program& program);

  /// Before any byte, with all that the state calls.
  Frame start(uint32_t state);
  /// The first item alone, in a call that goes on at the second once it ends, and so on; the last
  /// is in the call `kOutside`. What the items say of calls does not matter.
  Frame start_within(std::span<const Item> chain);
  /// `from` must be the last frame made or cut back to.
  Frame step(const Frame& from, uint8_t byte);
  /// Where the item's call goes on once it ends here.
  Frame leave(const Item& item);
  /// The one place where the item's call goes on, or null where there are several or none.
  const Item* only_return(const Item& item) const;
  void cut_back_to(const Frame& frame);
  /// Forgets the items of the frames between the two; the last one moves.
  Frame drop_between(const Frame& earlier, Frame last);

  std::span<const Item> items(const Frame& frame) const {
    return std::span(items_).subspan(frame.begin, frame.end - frame.begin);
  }
  /// Throws once more work than this was done; a step of an everyday grammar is a few units.
  void limit_work(int64_t units) { work_left_ = units; }

 private:
  struct Return {
    Item to;
    uint32_t next = 0;  // of the same call
  };
  struct Call {
    uint32_t rule = 0;
    uint32_t first_return = 0;
  };

  Frame close(uint32_t begin);
  void end_call(const Item& item, const Program::State& state, Frame& frame);
  void make_calls(const Item& item, const Program::State& state);
  uint32_t call_of(uint32_t rule);
  void add(const Item& item);
  void add_return(uint32_t call, const Item& to);
  void work(size_t units);

  const Program* program_;
  std::vector<Item> items_;
  std::vector<Call> calls_;
  std::vector<Return> returns_;      // 0 is none
  std::vector<uint32_t> last_call_;  // per rule: the last record made for it; may be cut off
  uint32_t step_items_ = 0;          // where the stacks stood before this step
  uint32_t step_calls_ = 0;
  int64_t work_left_ = 0;
};

}  // namespace veloz::grammar
