#include "cuda_model.h"

#include <deque>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "fiber.h"

float __half2float(__half value) {
  const int exponent = (value.bits >> 10) & 31, fraction = value.bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude = fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else {
    magnitude =
        exponent ? std::ldexp(float(1024 + fraction), exponent - 25) : std::ldexp(float(fraction), -24);
  }
  return value.bits & 0x8000 ? -magnitude : magnitude;
}

__half __float2half_rn(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return {uint16_t(sign | 0x7e00)};
  if (magnitude >= 65520.0f) return {uint16_t(sign | 0x7c00)};
  if (magnitude < 0x1p-14f) return {uint16_t(sign | int(std::nearbyint(magnitude * 0x1p24f)))};
  int exponent;
  const float mantissa = std::frexp(magnitude, &exponent);  // in [1/2, 1)
  const int rounded = int(std::nearbyint(mantissa * 2048.0f));
  return {uint16_t(sign | (((exponent + 14) << 10) + rounded - 1024))};
}

namespace emulation {
namespace {

enum class State { kReady, kBarrier, kCollective, kEnded };

struct Request {
  Collective kind;
  unsigned mask;
  uint64_t bits;
  int argument, width, line;
  WarpOperation operation = nullptr;
};

struct Thread {
  dim3 index;
  State state = State::kReady;
  int line = 0;
  Request request{};
  uint64_t received = 0;
  int dynamic_arrays = 0;
  std::vector<std::function<void()>> open_copies;
  std::deque<std::vector<std::function<void()>>> committed_copies;
  Fiber fiber;
};

struct Array {
  std::unique_ptr<float4[]> data;  // float4 for its alignment
  std::vector<Shadow> shadow;
  int64_t bytes;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<int> warp_epochs;
  std::map<std::string, Array> static_arrays;
  std::deque<Array> dynamic_arrays;
  int64_t dynamic_bytes = 0, dynamic_limit = 0;
  int current = 0;
  std::string error;
  const std::function<void()>* body = nullptr;
};

Block* block = nullptr;

std::string place(int thread) {
  std::ostringstream s;
  s << "block (" << blockIdx.x << ", " << blockIdx.y << ", " << blockIdx.z << ") thread " << thread;
  return s.str();
}

Array make_array(int64_t bytes, int64_t elements) {
  Array array;
  const int64_t vectors = (bytes + 15) / 16;
  array.data.reset(new float4[vectors]);
  memset(static_cast<void*>(array.data.get()), 0xff, vectors * 16);
  array.shadow.resize(elements);
  array.bytes = bytes;
  return array;
}

void* open_array(Array& array, int64_t bytes, Shadow** shadow) {
  if (array.bytes != bytes) fail("threads ask for one shared array with different sizes");
  *shadow = array.shadow.data();
  return array.data.get();
}

Thread& current() { return block->threads[block->current]; }

void give_way(State state, int line) {
  current().state = state;
  current().line = line;
  Fiber::to_scheduler(current().fiber, false);
}

void thread_main() {
  (*block->body)();
  if (!current().open_copies.empty() || !current().committed_copies.empty())
    fail("the thread ends while asynchronous copies are in flight");
  current().state = State::kEnded;
  Fiber::to_scheduler(current().fiber, true);
}

int lane_source(const Request& r, int lane) {
  const int segment = lane & ~(r.width - 1), end = segment + r.width;
  switch (r.kind) {
    case Collective::kShuffle:
      return segment + (r.argument & (r.width - 1));
    case Collective::kShuffleUp:
      return lane - r.argument < segment ? lane : lane - r.argument;
    case Collective::kShuffleDown:
      return lane + r.argument >= end ? lane : lane + r.argument;
    case Collective::kShuffleXor: {
      const int source = lane ^ r.argument;
      return source >= end ? lane : source;
    }
    default:
      return lane;
  }
}

// Completes the collective that the current thread was the last to join; false if lanes are missing.
bool try_complete(int first_thread, const Request& request) {
  const int threads = int(block->threads.size());
  for (int lane = 0; lane < 32; ++lane) {
    if (!(request.mask >> lane & 1)) continue;
    const int t = first_thread + lane;
    if (t >= threads)
      fail("lane " + std::to_string(lane) + " of a warp collective is not there: the block has " +
           std::to_string(threads) + " threads");
    const Thread& thread = block->threads[t];
    if (thread.state != State::kCollective) return false;
    if (thread.request.mask != request.mask || thread.request.line != request.line)
      fail("lanes of one warp are at different collectives, lines " + std::to_string(request.line) + " and " +
           std::to_string(thread.request.line));
  }
  if (request.kind == Collective::kTogether) {
    void* lanes[32];
    for (int lane = 0; lane < 32; ++lane)
      lanes[lane] = reinterpret_cast<void*>(block->threads[first_thread + lane].request.bits);
    request.operation(lanes);
  }
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (request.mask >> lane & 1 && block->threads[first_thread + lane].request.bits) ballot |= 1u << lane;
  for (int lane = 0; lane < 32; ++lane) {
    if (!(request.mask >> lane & 1)) continue;
    Thread& thread = block->threads[first_thread + lane];
    if (request.kind == Collective::kBallot) {
      thread.received = ballot;
    } else {
      const int source = lane_source(thread.request, lane);
      if (!(request.mask >> source & 1))
        fail("shuffle at line " + std::to_string(request.line) + " reads lane " + std::to_string(source) +
             ", which is not there");
      thread.received = block->threads[first_thread + source].request.bits;
    }
    thread.state = State::kReady;
  }
  if (request.kind == Collective::kSync) ++block->warp_epochs[first_thread / 32];
  return true;
}

// All threads wait or have ended: open the barrier, or say why it cannot open.
void open_barrier() {
  const Thread* waiting = nullptr;
  for (const Thread& t : block->threads)
    if (t.state == State::kCollective) waiting = &t;
  if (waiting) {
    block->current = int(waiting - block->threads.data());
    block->error = place(block->current) + ": warp collective at line " + std::to_string(waiting->line) +
                   " waits for a lane that is not there (it has ended or waits elsewhere)";
    return;
  }
  int line = 0;
  for (const Thread& t : block->threads)
    if (t.state == State::kBarrier) line = t.line;
  for (size_t i = 0; i < block->threads.size(); ++i) {
    const Thread& t = block->threads[i];
    if (t.state == State::kEnded || t.line != line) {
      block->error = place(int(i)) + ": barrier at line " + std::to_string(line) +
                     " is not reached by all threads: this one " +
                     (t.state == State::kEnded ? "has ended" : "waits at line " + std::to_string(t.line));
      return;
    }
  }
  for (Thread& t : block->threads) t.state = State::kReady;
  ++running.epoch;
}

void run_block() {
  running = {};
  for (Thread& t : block->threads) t.fiber.start(thread_main);
  size_t ended = 0;
  while (ended < block->threads.size()) {
    bool progress = false;
    for (size_t i = 0; i < block->threads.size(); ++i) {
      Thread& t = block->threads[i];
      if (t.state != State::kReady) continue;
      progress = true;
      block->current = int(i);
      threadIdx = t.index;
      running.thread = int(i);
      running.warp = int(i / 32);
      running.warp_epoch = block->warp_epochs[i / 32];
      Fiber::resume(t.fiber);
      if (!block->error.empty()) return;
      if (t.state == State::kEnded) ++ended;
    }
    if (!progress) open_barrier();
    if (!block->error.empty()) return;
  }
}

}  // namespace

void fail(const std::string& what) {
  block->error = place(block->current) + ": " + what;
  Fiber::to_scheduler(current().fiber, true);
  std::abort();
}

int linear_thread() { return running.thread; }

void barrier(int line) { give_way(State::kBarrier, line); }

namespace {

uint64_t join(const Request& request) {
  Thread& thread = current();
  const int lane = running.thread % 32;
  if (!(request.mask >> lane & 1)) fail("a lane calls a warp collective whose mask leaves it out");
  thread.request = request;
  thread.state = State::kCollective;
  thread.line = request.line;
  if (!try_complete(running.thread - lane, thread.request)) give_way(State::kCollective, request.line);
  running.warp_epoch = block->warp_epochs[running.warp];
  return thread.received;
}

}  // namespace

uint64_t collective(Collective kind, unsigned mask, uint64_t bits, int argument, int width, int line) {
  return join({kind, mask, bits, argument, width, line});
}

void together(void* mine, WarpOperation operation, int line) {
  join({Collective::kTogether, 0xffffffffu, reinterpret_cast<uint64_t>(mine), 0, 32, line, operation});
}

void fail_race(const char* name, int64_t index, const char* access, int other) {
  std::ostringstream s;
  s << "race: the thread " << access << " " << name << "[" << index << "], which "
    << (other == kSeveral ? "other threads have" : "thread " + std::to_string(other) + " has")
    << " touched since the last barrier";
  fail(s.str());
}
void fail_uninitialized(const char* name, int64_t index) {
  fail("read of " + std::string(name) + "[" + std::to_string(index) +
       "] in shared memory before any write, or while a copy is on its way there");
}
void fail_bounds(const char* name, int64_t index, int64_t size) {
  fail("index " + std::to_string(index) + " is outside the shared array " + name + " of " +
       std::to_string(size));
}
void fail_alignment(const char* name, int64_t index, int bytes) {
  fail("vector access to " + std::string(name) + "[" + std::to_string(index) + "] is not aligned to " +
       std::to_string(bytes) + " bytes");
}

void* shared_storage(const void* key, int64_t bytes, int64_t elements, Shadow** shadow) {
  auto [found, is_new] = block->static_arrays.try_emplace(static_cast<const char*>(key));
  if (is_new) found->second = make_array(bytes, elements);
  return open_array(found->second, bytes, shadow);
}

void* next_dynamic_array(int64_t bytes, int64_t elements, Shadow** shadow) {
  const size_t number = current().dynamic_arrays++;
  if (number == block->dynamic_arrays.size()) {
    block->dynamic_bytes += (bytes + 15) / 16 * 16;
    if (block->dynamic_bytes > block->dynamic_limit)
      fail("shared memory asked for, " + std::to_string(block->dynamic_bytes) +
           " bytes, is more than the launch gave, " + std::to_string(block->dynamic_limit));
    block->dynamic_arrays.push_back(make_array(bytes, elements));
  }
  return open_array(block->dynamic_arrays[number], bytes, shadow);
}

void copy_async(std::function<void()> copy) { current().open_copies.push_back(std::move(copy)); }
void copy_async_commit() {
  current().committed_copies.push_back(std::move(current().open_copies));
  current().open_copies.clear();
}
void copy_async_wait(int groups_in_flight) {
  auto& groups = current().committed_copies;
  while (int(groups.size()) > groups_in_flight) {
    for (auto& copy : groups.front()) copy();
    groups.pop_front();
  }
}

void run(dim3 grid, dim3 block_size, int64_t shared_bytes, const std::function<void()>& body) {
  const unsigned threads = block_size.x * block_size.y * block_size.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 ||
      grid.z > 65535)
    throw std::runtime_error("launch with a grid or block size that CUDA refuses");
  gridDim = grid;
  blockDim = block_size;
  // CUDA promises no order of blocks: the last goes first here.
  for (uint64_t i = uint64_t(grid.x) * grid.y * grid.z; i-- > 0;) {
    Block one;
    one.threads = std::vector<Thread>(threads);
    one.warp_epochs.assign((threads + 31) / 32, 0);
    one.dynamic_limit = shared_bytes;
    one.body = &body;
    for (unsigned t = 0; t < threads; ++t)
      one.threads[t].index =
          dim3(t % block_size.x, t / block_size.x % block_size.y, t / block_size.x / block_size.y);
    block = &one;
    blockIdx = dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
    run_block();
    block = nullptr;
    if (!one.error.empty()) throw std::runtime_error(one.error);
  }
}

}  // namespace emulation
