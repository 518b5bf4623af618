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
  bool is_at_cluster_barrier = false;
  bool has_met_cluster = false;
  unsigned cluster_generation = 0;
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

/// A thread block of the cluster that runs.
struct Block {
  uint3 idx{};
  int threads_left = 0;
  std::vector<Meeting> warps, warpgroups;
  Barrier barriers[kNumBarriers];
  bool waited_for_previous = false;
  unsigned char* shared_end = nullptr;
  unsigned char* shared = nullptr;
};

/// The one multiprocessor. Its state is global as the kernels' own words (threadIdx, shared
/// variables) are; launches of several host threads take turns.
struct Multiprocessor {
  std::mutex mutex;
  std::vector<std::unique_ptr<Thread>> threads;  // block by block
  Block blocks[kMaxClusterBlocks];
  Barrier cluster_barrier;
  const std::function<void()>* body = nullptr;
  const LaunchInfo* info = nullptr;
  int num_blocks = 0;   // of a cluster
  int num_threads = 0;  // of a block
  int current = -1;     // index of the thread that runs
  size_t shared_bytes = 0;
  unsigned num_launches = 0;
  size_t bytes_copied = 0;

  int num_cluster_threads() const { return num_blocks * num_threads; }
};

Multiprocessor& sm() {
  static Multiprocessor multiprocessor;
  return multiprocessor;
}

Thread& self() { return *sm().threads[static_cast<size_t>(sm().current)]; }
Block& own_block() { return sm().blocks[sm().current / sm().num_threads]; }
const char* kernel_name() { return sm().info->name; }

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

void map_shared(Block& block) {
  if (block.shared_end != nullptr) return;
  const size_t bytes = round_up_to(kMaxSharedBytes, kPageBytes);
  void* const mapping = ::mmap(nullptr, bytes + kPageBytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(mapping != MAP_FAILED, "no memory for shared memory");
  block.shared_end = static_cast<unsigned char*>(mapping) + bytes;
  require(::mprotect(block.shared_end, kPageBytes, PROT_NONE) == 0, "mprotect failed");
}

/// Everyone who waits, those alike together.
[[noreturn]] void report_deadlock(const char* headline) {
  Multiprocessor& m = sm();
  std::string text = fmt::format("kernel \"{}\", block ({}, {}, {}): {}\n", kernel_name(),
                                 blockIdx.x, blockIdx.y, blockIdx.z, headline);
  int first = 0;
  const auto describe = [&](const Thread& thread) {
    if (thread.state == State::ended) return std::string("ended");
    return fmt::format("at {} ({}:{})", thread.waits_for, thread.site.file, thread.site.line);
  };
  for (int i = 1; i <= m.num_cluster_threads(); ++i) {
    const Thread& begin = *m.threads[static_cast<size_t>(first)];
    if (i < m.num_cluster_threads() &&
        describe(*m.threads[static_cast<size_t>(i)]) == describe(begin))
      continue;
    text += fmt::format("  {} to {} {}\n", where(begin),
                        where(*m.threads[static_cast<size_t>(i - 1)]), describe(begin));
    first = i;
  }
  std::fputs(text.c_str(), stderr);
  std::abort();
}

/// Of its last thread. What other blocks of the cluster read of it from now on is spoilt.
void end_block(Block& block) {
  Multiprocessor& m = sm();
  m.current = -1;
  for (const unsigned char* at = block.shared + m.shared_bytes; at < block.shared_end; ++at)
    if (*at != 0xFF) fail("wrote past the end of dynamic shared memory");
  for (const Barrier& barrier : block.barriers)
    if (barrier.arrived != 0) fail("ended with threads counted at a barrier that did not open");
  if (m.info->must_wait_for_previous && !block.waited_for_previous)
    fail("no thread called wait_for_previous_kernel()");
  if (m.num_blocks > 1) std::memset(block.shared, 0xFF, m.shared_bytes);
}

/// One turn of every thread that can run. False where none could.
bool run_pass(bool is_backward, bool& only_polled) {
  Multiprocessor& m = sm();
  bool has_run = false;
  only_polled = true;
  for (int i = 0; i < m.num_cluster_threads(); ++i) {
    m.current = is_backward ? m.num_cluster_threads() - 1 - i : i;
    Thread& thread = self();
    if (thread.state == State::ended) continue;
    if (thread.state == State::waiting) {
      if (!thread.ready(thread.arg)) continue;
      thread.state = State::runnable;
    }
    const bool polled_before = thread.yielded;
    thread.yielded = false;
    Block& block = own_block();
    threadIdx = thread.idx;
    blockIdx = block.idx;
    thread.fiber->resume();
    has_run = true;
    if (!(polled_before && thread.yielded)) only_polled = false;
    if (thread.state == State::ended && --block.threads_left == 0) end_block(block);
  }
  return has_run;
}

bool has_threads_left() {
  const Multiprocessor& m = sm();
  return std::any_of(m.blocks, m.blocks + m.num_blocks,
                     [](const Block& block) { return block.threads_left > 0; });
}

/// Block number `rank` of its cluster.
void begin_block(int rank, uint3 idx) {
  Multiprocessor& m = sm();
  Block& block = m.blocks[rank];
  for (int i = 0; i < m.num_threads; ++i) {
    Thread& thread = *m.threads[static_cast<size_t>(rank * m.num_threads + i)];
    thread.state = State::runnable;
    thread.yielded = false;
    thread.is_at_cluster_barrier = false;
    thread.has_met_cluster = false;
    thread.copies.clear();
    const auto n = static_cast<unsigned>(i);
    thread.idx = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
  }
  block.idx = idx;
  block.threads_left = m.num_threads;
  block.warps.assign(static_cast<size_t>((m.num_threads + warpSize - 1) / warpSize), {});
  block.warpgroups.assign(
      static_cast<size_t>((m.num_threads + kWarpgroupThreads - 1) / kWarpgroupThreads), {});
  for (Barrier& barrier : block.barriers) barrier = {};
  block.waited_for_previous = false;
  block.shared = block.shared_end - round_up_to(m.shared_bytes, kSharedAlignment);
  std::memset(block.shared, 0xFF, static_cast<size_t>(block.shared_end - block.shared));
}

/// Of the block with that number and those after it.
void run_cluster(uint64_t first_block, bool is_backward) {
  Multiprocessor& m = sm();
  for (int rank = 0; rank < m.num_blocks; ++rank) {
    const uint64_t block = first_block + static_cast<uint64_t>(rank);
    begin_block(rank, {static_cast<unsigned>(block % gridDim.x),
                       static_cast<unsigned>(block / gridDim.x % gridDim.y),
                       static_cast<unsigned>(block / gridDim.x / gridDim.y)});
  }
  m.cluster_barrier = {.expected = m.num_cluster_threads()};
  int idle_passes = 0;
  while (has_threads_left()) {
    bool only_polled = false;
    if (!run_pass(is_backward, only_polled)) report_deadlock("nobody can go on");
    idle_passes = only_polled ? idle_passes + 1 : 0;
    if (idle_passes > kMaxIdlePasses) report_deadlock("threads poll for what nobody brings");
  }
  m.current = -1;
  if (m.cluster_barrier.arrived != 0)
    fail("ended with threads counted at the cluster's barrier, which did not open");
}

bool is_launchable(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes) {
  constexpr unsigned kMaxGrid = 65535, kMaxBlockZ = 64;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= kMaxThreads && block.z <= kMaxBlockZ && grid.x >= 1 &&
         grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= kMaxGrid && grid.z >= 1 &&
         grid.z <= kMaxGrid && shared_bytes <= kMaxSharedBytes && info.cluster_blocks >= 1 &&
         info.cluster_blocks <= kMaxClusterBlocks &&
         grid.x % static_cast<unsigned>(info.cluster_blocks) == 0;
}

void run_grid(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes,
              const std::function<void()>& body) {
  Multiprocessor& m = sm();
  const std::scoped_lock lock(m.mutex);
  m.num_blocks = info.cluster_blocks;
  m.num_threads = static_cast<int>(block.x * block.y * block.z);
  while (m.threads.size() < static_cast<size_t>(m.num_cluster_threads())) {
    m.threads.push_back(std::make_unique<Thread>());
    m.threads.back()->fiber = std::make_unique<Fiber>(run_threads_for_ever, nullptr);
  }
  m.body = &body;
  m.info = &info;
  m.shared_bytes = shared_bytes;
  for (int rank = 0; rank < m.num_blocks; ++rank) map_shared(m.blocks[rank]);
  gridDim = grid;
  blockDim = block;
  const unsigned launch = m.num_launches++;
  const auto cluster_blocks = static_cast<uint64_t>(info.cluster_blocks);
  const uint64_t num_clusters = uint64_t{grid.x} * grid.y * grid.z / cluster_blocks;
  for (uint64_t i = 0; i < num_clusters; ++i) {
    const uint64_t cluster = launch / 2 % 2 == 0 ? i : num_clusters - 1 - i;
    run_cluster(cluster * cluster_blocks, (launch + i) % 2 != 0);
  }
}

}  // namespace

void fail(const std::string& why) {
  const Multiprocessor& m = sm();
  const std::string thread = m.current < 0 ? "" : fmt::format(", {}", where(self()));
  std::fputs(fmt::format("kernel \"{}\", block ({}, {}, {}){}: {}\n", kernel_name(), blockIdx.x,
                         blockIdx.y, blockIdx.z, thread, why)
                 .c_str(),
             stderr);
  std::abort();
}

int thread_index() { return sm().current % sm().num_threads; }
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
  const int index = thread_index() / size;
  Block& block = own_block();
  Meeting& meeting =
      (scope == Scope::warp ? block.warps : block.warpgroups)[static_cast<size_t>(index)];
  const int present = std::min(size, m.num_threads - index * size);
  if (meeting.arrived == 0) {
    meeting.what = what;
    meeting.site = site;
  } else if (meeting.site.line != site.line || !is_same(meeting.what, what) ||
             !is_same(meeting.site.file, site.file)) {
    fail(fmt::format("{} ({}:{}) while others of its warp or warpgroup are at {} ({}:{})", what,
                     site.file, site.line, meeting.what, meeting.site.file, meeting.site.line));
  }
  meeting.all[thread_index() % size] = mine;
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
  if (id < 0 || id >= kNumBarriers) fail(fmt::format("there is no barrier {}", id));
  Barrier& barrier = own_block().barriers[id];
  if (barrier.arrived == 0) barrier.expected = count;
  if (barrier.expected != count)
    fail(fmt::format("barrier {} for {} threads, others said {}", id, count, barrier.expected));
  if (++barrier.arrived < count) return;
  barrier.arrived = 0;
  ++barrier.generation;
}

void barrier(int id, int count, Site site) {
  if (id < 0 || id >= kNumBarriers) fail(fmt::format("there is no barrier {}", id));
  const Barrier& barrier = own_block().barriers[id];
  const unsigned generation = barrier.generation;
  barrier_arrive(id, count, site);
  wait_until(
      id == 0 ? "__syncthreads" : "a named barrier",
      [&barrier, generation] { return barrier.generation != generation; }, site);
}

void cluster_arrive(Site) {
  Thread& thread = self();
  require(!thread.is_at_cluster_barrier, "arrived at the cluster's barrier twice");
  Barrier& barrier = sm().cluster_barrier;
  thread.is_at_cluster_barrier = true;
  thread.cluster_generation = barrier.generation;
  if (++barrier.arrived < barrier.expected) return;
  barrier.arrived = 0;
  ++barrier.generation;
}

void cluster_wait(Site site) {
  Thread& thread = self();
  require(thread.is_at_cluster_barrier, "waited at the cluster's barrier before it arrived");
  thread.is_at_cluster_barrier = false;
  wait_until(
      "the cluster's barrier",
      [&thread] { return sm().cluster_barrier.generation != thread.cluster_generation; }, site);
  thread.has_met_cluster = true;
}

unsigned char* dynamic_shared_begin() { return own_block().shared; }
size_t dynamic_shared_bytes() { return sm().shared_bytes; }

uint32_t shared_address_of(const void* pointer) {
  const auto* const at = static_cast<const unsigned char*>(pointer);
  const Block& block = own_block();
  if (at < block.shared || at >= block.shared_end) fail("not an address of dynamic shared memory");
  return static_cast<uint32_t>(at - block.shared + static_cast<ptrdiff_t>(kSharedAlignment));
}
void* shared_pointer(uint32_t address) {
  if (address < kSharedAlignment || address - kSharedAlignment >= sm().shared_bytes)
    fail("not an address of dynamic shared memory");
  return own_block().shared + (address - kSharedAlignment);
}
void* in_block_of_cluster(void* pointer, int rank) {
  // st.async is then an illegal instruction on an H200.
  require(sm().num_blocks > 1, "stored to a block of a cluster, but was launched without clusters");
  if (rank < 0 || rank >= sm().num_blocks) fail(fmt::format("no block {} in the cluster", rank));
  require(self().has_met_cluster, "touched another block before the cluster met: it may not run");
  return sm().blocks[rank].shared + (shared_address_of(pointer) - kSharedAlignment);
}

void note_waited_for_previous() { own_block().waited_for_previous = true; }

AsyncCopies& async_copies() { return self().copies; }
size_t num_bytes_copied() { return sm().bytes_copied; }
void note_bytes_copied(size_t bytes) { sm().bytes_copied += bytes; }

cudaError_t launch_body(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes,
                        std::function<void()> body) {
  if (!is_launchable(info, grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  enqueue(info.stream,
          [=, body = std::move(body)] { run_grid(info, grid, block, shared_bytes, body); });
  return cudaSuccess;
}

}  // namespace veloz::cuda::sim
