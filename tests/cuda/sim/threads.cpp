// SPDX-License-Identifier: Apache-2.0
#include "cuda/sim/threads.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/sim/async_copies.h"
#include "cuda/sim/fiber.h"
#include "cuda/sim/graph.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace veloz::cuda::sim {
namespace {

constexpr size_t kSharedAlignment = 1024;
constexpr int kNumBarriers = 16;
constexpr int kWarpgroupThreads = 128;
constexpr int kMaxIdlePasses = 1'000'000;  // in which threads only polled

enum class State { runnable, waiting, ended };

struct Thread {
  std::unique_ptr<Fiber> fiber;
  uint3 idx{};
  State state = State::ended;
  bool yielded = false;
  const char* waits_for = "";
  Site site{};
  bool (*ready)(const void*) = nullptr;
  const void* arg = nullptr;
  AsyncCopies copies;
};

/// Where the threads of a warp or warpgroup meet.
struct Meeting {
  void* all[kWarpgroupThreads] = {};
  int arrived = 0;
  unsigned generation = 0;
  const char* what = "";
  Site site{};
};

struct Barrier {
  int expected = 0;
  int arrived = 0;
  unsigned generation = 0;
};

/// The one multiprocessor. Its state is global as the kernels' own words (threadIdx, shared
/// variables) are; launches of several host threads take turns.
struct Multiprocessor {
  std::mutex mutex;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Meeting> warps, warpgroups;
  Barrier barriers[kNumBarriers];
  const std::function<void()>* body = nullptr;
  const char* kernel = "";
  int num_threads = 0;
  int current = -1;  // linear index of the thread that runs
  bool waited_for_previous = false;
  unsigned char* shared_end = nullptr;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  unsigned num_launches = 0;
  size_t bytes_copied = 0;
};

Multiprocessor& sm() {
  static Multiprocessor multiprocessor;
  return multiprocessor;
}

Thread& self() { return *sm().threads[static_cast<size_t>(sm().current)]; }

/// Of literals: mostly one.
bool is_same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

std::string where(const Thread& thread) {
  return fmt::format("thread ({}, {}, {})", thread.idx.x, thread.idx.y, thread.idx.z);
}

void run_threads_for_ever(void*) {
  for (;;) {
    (*sm().body)();
    Thread& thread = self();
    thread.state = State::ended;
    thread.fiber->suspend();
  }
}

void map_shared() {
  if (sm().shared_end != nullptr) return;
  const size_t bytes = round_up_to(kMaxSharedBytes, kPageBytes);
  void* const mapping = ::mmap(nullptr, bytes + kPageBytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(mapping != MAP_FAILED, "no memory for shared memory");
  sm().shared_end = static_cast<unsigned char*>(mapping) + bytes;
  require(::mprotect(sm().shared_end, kPageBytes, PROT_NONE) == 0, "mprotect failed");
}

/// Everyone who waits, those alike together.
[[noreturn]] void report_deadlock(const char* headline) {
  Multiprocessor& m = sm();
  std::string text = fmt::format("kernel \"{}\", block ({}, {}, {}): {}\n", m.kernel, blockIdx.x,
                                 blockIdx.y, blockIdx.z, headline);
  int first = 0;
  const auto describe = [&](const Thread& thread) {
    if (thread.state == State::ended) return std::string("ended");
    return fmt::format("at {} ({}:{})", thread.waits_for, thread.site.file, thread.site.line);
  };
  for (int i = 1; i <= m.num_threads; ++i) {
    const Thread& begin = *m.threads[static_cast<size_t>(first)];
    if (i < m.num_threads && describe(*m.threads[static_cast<size_t>(i)]) == describe(begin))
      continue;
    text += fmt::format("  {} to {} {}\n", where(begin),
                        where(*m.threads[static_cast<size_t>(i - 1)]), describe(begin));
    first = i;
  }
  std::fputs(text.c_str(), stderr);
  std::abort();
}

/// One turn of every thread that can run. False where none could.
bool run_pass(bool is_backward, bool& only_polled) {
  Multiprocessor& m = sm();
  bool has_run = false;
  only_polled = true;
  for (int i = 0; i < m.num_threads; ++i) {
    m.current = is_backward ? m.num_threads - 1 - i : i;
    Thread& thread = self();
    if (thread.state == State::ended) continue;
    if (thread.state == State::waiting) {
      if (!thread.ready(thread.arg)) continue;
      thread.state = State::runnable;
    }
    const bool polled_before = thread.yielded;
    thread.yielded = false;
    threadIdx = thread.idx;
    thread.fiber->resume();
    has_run = true;
    if (!(polled_before && thread.yielded)) only_polled = false;
  }
  return has_run;
}

bool has_threads_left() {
  Multiprocessor& m = sm();
  for (int i = 0; i < m.num_threads; ++i)
    if (m.threads[static_cast<size_t>(i)]->state != State::ended) return true;
  return false;
}

void begin_block() {
  Multiprocessor& m = sm();
  for (int i = 0; i < m.num_threads; ++i) {
    Thread& thread = *m.threads[static_cast<size_t>(i)];
    thread.state = State::runnable;
    thread.yielded = false;
    thread.copies.clear();
    const auto n = static_cast<unsigned>(i);
    thread.idx = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
  }
  m.warps.assign(static_cast<size_t>((m.num_threads + warpSize - 1) / warpSize), {});
  m.warpgroups.assign(
      static_cast<size_t>((m.num_threads + kWarpgroupThreads - 1) / kWarpgroupThreads), {});
  for (Barrier& barrier : m.barriers) barrier = {};
  m.waited_for_previous = false;
  std::memset(m.shared, 0xFF, static_cast<size_t>(m.shared_end - m.shared));
}

void end_block(const LaunchInfo& info) {
  Multiprocessor& m = sm();
  for (const unsigned char* at = m.shared + m.shared_bytes; at < m.shared_end; ++at)
    if (*at != 0xFF) fail("wrote past the end of dynamic shared memory");
  for (const Barrier& barrier : m.barriers)
    if (barrier.arrived != 0) fail("ended with threads counted at a barrier that did not open");
  if (info.must_wait_for_previous && !m.waited_for_previous)
    fail("no thread called wait_for_previous_kernel()");
}

void run_block(const LaunchInfo& info, bool is_backward) {
  begin_block();
  int idle_passes = 0;
  while (has_threads_left()) {
    bool only_polled = false;
    if (!run_pass(is_backward, only_polled)) report_deadlock("nobody can go on");
    idle_passes = only_polled ? idle_passes + 1 : 0;
    if (idle_passes > kMaxIdlePasses) report_deadlock("threads poll for what nobody brings");
  }
  sm().current = -1;
  end_block(info);
}

bool is_launchable(dim3 grid, dim3 block, size_t shared_bytes) {
  constexpr unsigned kMaxGrid = 65535, kMaxBlockZ = 64;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= kMaxThreads && block.z <= kMaxBlockZ && grid.x >= 1 &&
         grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= kMaxGrid && grid.z >= 1 &&
         grid.z <= kMaxGrid && shared_bytes <= kMaxSharedBytes;
}

void run_grid(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes,
              const std::function<void()>& body) {
  Multiprocessor& m = sm();
  const std::scoped_lock lock(m.mutex);
  map_shared();
  m.num_threads = static_cast<int>(block.x * block.y * block.z);
  while (m.threads.size() < static_cast<size_t>(m.num_threads)) {
    m.threads.push_back(std::make_unique<Thread>());
    m.threads.back()->fiber = std::make_unique<Fiber>(run_threads_for_ever, nullptr);
  }
  m.body = &body;
  m.kernel = info.name;
  m.shared_bytes = shared_bytes;
  m.shared = m.shared_end - round_up_to(shared_bytes, kSharedAlignment);
  gridDim = grid;
  blockDim = block;
  const unsigned launch = m.num_launches++;
  const uint64_t num_blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < num_blocks; ++i) {
    const uint64_t block_index = launch / 2 % 2 == 0 ? i : num_blocks - 1 - i;
    blockIdx = {static_cast<unsigned>(block_index % grid.x),
                static_cast<unsigned>(block_index / grid.x % grid.y),
                static_cast<unsigned>(block_index / grid.x / grid.y)};
    run_block(info, (launch + i) % 2 != 0);
  }
}

}  // namespace

void fail(const std::string& why) {
  const Multiprocessor& m = sm();
  const std::string thread = m.current < 0 ? "" : fmt::format(", {}", where(self()));
  std::fputs(fmt::format("kernel \"{}\", block ({}, {}, {}){}: {}\n", m.kernel, blockIdx.x,
                         blockIdx.y, blockIdx.z, thread, why)
                 .c_str(),
             stderr);
  std::abort();
}

int thread_index() { return sm().current; }
int num_threads() { return sm().num_threads; }

void yield(Site site) {
  Thread& thread = self();
  thread.yielded = true;
  thread.waits_for = "a loop that polls";
  thread.site = site;
  thread.fiber->suspend();
}

void wait_until(const char* what, bool (*ready)(const void*), const void* arg, Site site) {
  Thread& thread = self();
  thread.state = State::waiting;
  thread.waits_for = what;
  thread.site = site;
  thread.ready = ready;
  thread.arg = arg;
  thread.fiber->suspend();
}

void rendezvous(Scope scope, const char* what, void* mine, void (*complete)(void** all, int count),
                Site site) {
  Multiprocessor& m = sm();
  const int size = scope == Scope::warp ? warpSize : kWarpgroupThreads;
  const int index = m.current / size;
  Meeting& meeting = (scope == Scope::warp ? m.warps : m.warpgroups)[static_cast<size_t>(index)];
  const int present = std::min(size, m.num_threads - index * size);
  if (meeting.arrived == 0) {
    meeting.what = what;
    meeting.site = site;
  } else if (meeting.site.line != site.line || !is_same(meeting.what, what) ||
             !is_same(meeting.site.file, site.file)) {
    fail(fmt::format("{} ({}:{}) while others of its warp or warpgroup are at {} ({}:{})", what,
                     site.file, site.line, meeting.what, meeting.site.file, meeting.site.line));
  }
  meeting.all[m.current % size] = mine;
  if (++meeting.arrived < present) {
    const unsigned generation = meeting.generation;
    wait_until(
        what, [&meeting, generation] { return meeting.generation != generation; }, site);
    return;
  }
  complete(meeting.all, size);
  meeting.arrived = 0;
  ++meeting.generation;
}

void barrier_arrive(int id, int count, Site) {
  Multiprocessor& m = sm();
  if (id < 0 || id >= kNumBarriers) fail(fmt::format("there is no barrier {}", id));
  Barrier& barrier = m.barriers[id];
  if (barrier.arrived == 0) barrier.expected = count;
  if (barrier.expected != count)
    fail(fmt::format("barrier {} for {} threads, others said {}", id, count, barrier.expected));
  if (++barrier.arrived < count) return;
  barrier.arrived = 0;
  ++barrier.generation;
}

void barrier(int id, int count, Site site) {
  if (id < 0 || id >= kNumBarriers) fail(fmt::format("there is no barrier {}", id));
  const Barrier& barrier = sm().barriers[id];
  const unsigned generation = barrier.generation;
  barrier_arrive(id, count, site);
  wait_until(
      id == 0 ? "__syncthreads" : "a named barrier",
      [&barrier, generation] { return barrier.generation != generation; }, site);
}

unsigned char* dynamic_shared_begin() { return sm().shared; }
size_t dynamic_shared_bytes() { return sm().shared_bytes; }

uint32_t shared_address_of(const void* pointer) {
  const auto* const at = static_cast<const unsigned char*>(pointer);
  if (at < sm().shared || at >= sm().shared_end) fail("not an address of dynamic shared memory");
  return static_cast<uint32_t>(at - sm().shared + static_cast<ptrdiff_t>(kSharedAlignment));
}
void* shared_pointer(uint32_t address) {
  if (address < kSharedAlignment || address - kSharedAlignment >= sm().shared_bytes)
    fail("not an address of dynamic shared memory");
  return sm().shared + (address - kSharedAlignment);
}

void note_waited_for_previous() { sm().waited_for_previous = true; }

AsyncCopies& async_copies() { return self().copies; }
size_t num_bytes_copied() { return sm().bytes_copied; }
void note_bytes_copied(size_t bytes) { sm().bytes_copied += bytes; }

cudaError_t launch_body(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes,
                        std::function<void()> body) {
  if (!is_launchable(grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  enqueue(info.stream,
          [=, body = std::move(body)] { run_grid(info, grid, block, shared_bytes, body); });
  return cudaSuccess;
}

}  // namespace veloz::cuda::sim
