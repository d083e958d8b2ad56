// Runs the blocks of a kernel, one after the other; the threads of a block take turns.
#pragma once
#include "emulated.h"
#include "settings.h"
#include <csetjmp>
#include <csignal>
#include <map>
#include <ucontext.h>
#include <utility>
#include <vector>

namespace emulator {
struct Copy {
    void* to;
    const void* from;
};
struct Warp {
    void* brought[32];
    const void* instruction = nullptr;
    int arrived = 0;
    unsigned long meeting = 0;
};
struct Thread {
    Index index;
    int lane;
    Warp* warp;
    ucontext_t start;
    jmp_buf here;
    bool has_begun = false, is_done = false;
    // Copies that belong to no group yet, and groups of copies.
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> committed;
};
struct Block {
    Machine* machine;
    void (*kernel)(void**);
    void** args;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::map<const void*, std::vector<char>> shared;
    std::vector<char> dynamic;
    int waiting = 0, alive = 0;
    unsigned long barrier = 0;
    // Counts what brings a block forward: if a turn of all threads adds nothing, they wait for each other.
    unsigned long steps = 0;
    jmp_buf scheduler;
    const char* wrong = nullptr;
};
static const size_t STACK_BYTES = 64 << 10;
static const char POISON = (char)0xA5;
thread_local Index block_index, block_size, grid_size;
static thread_local Thread* running;
static thread_local Block* block;
static thread_local std::vector<std::vector<char>> stacks;

Index thread_index() { return running->index; }
[[noreturn]] static void stop(const char* why) {
    if (!block->wrong) block->wrong = why;
    running->is_done = true;
    _longjmp(block->scheduler, 1);
}
void fail(const char* why) { stop(why); }
static void yield() {
    if (!_setjmp(running->here)) _longjmp(block->scheduler, 1);
    if (block->wrong) stop(block->wrong);
}
static char* aligned16(std::vector<char>& room) { return (char*)(((size_t)room.data() + 15) & ~(size_t)15); }
void* shared(const void* declaration, size_t bytes) {
    auto& room = block->shared[declaration];
    if (room.empty()) room.assign(bytes + 16, POISON);
    return aligned16(room);
}
void* dynamic_shared() { return aligned16(block->dynamic); }
static void pass_barrier_if_all_wait() {
    if (block->waiting && block->waiting == block->alive) block->waiting = 0, ++block->barrier;
}
void block_barrier() {
    unsigned long mine = block->barrier;
    ++block->steps, ++block->waiting;
    pass_barrier_if_all_wait();
    while (block->barrier == mine) yield();
}
void warp_meets(const void* instruction, void* mine, void (*work)(void**)) {
    Warp& warp = *running->warp;
    ++block->steps;
    if (warp.arrived == 0) warp.instruction = instruction;
    else if (warp.instruction != instruction) stop("lanes of a warp meet in different instructions");
    warp.brought[running->lane] = mine;
    unsigned long meeting = warp.meeting;
    if (++warp.arrived == 32) {
        work(warp.brought);
        warp.arrived = 0;
        ++warp.meeting;
    }
    while (warp.meeting == meeting) yield();
}
static void copy_now(const Copy& copy) { memcpy(copy.to, copy.from, 16); }
// A copy may happen at once or as late as somebody waits for it.
void copy_later(void* to, const void* from) {
    long long order = block->machine->values[ORDER];
    bool at_once = order == 1 || (order == 2 && block->machine->random_below(2));
    if (at_once) copy_now({to, from});
    else running->open.push_back({to, from});
}
void commit_copies() {
    running->committed.push_back(std::move(running->open));
    running->open.clear();
}
void finish_copies(int but_latest) {
    auto& groups = running->committed;
    while ((int)groups.size() > but_latest) {
        for (auto& copy : groups.front()) copy_now(copy);
        groups.erase(groups.begin());
    }
}
static void trampoline() {
    block->kernel(block->args);
    running->is_done = true;
    --block->alive, ++block->steps;
    pass_barrier_if_all_wait();
    _longjmp(block->scheduler, 1);
}

// An address that belongs to no allocation stops the kernel. Any other fault goes where it went before.
static struct sigaction before;
static void on_fault(int signal, siginfo_t* info, void* context) {
    if (running) stop("an address outside of all allocations");
    if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
    sigaction(signal, &before, nullptr);
}
static void catch_faults() {
    static bool is_set = [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        return sigaction(SIGSEGV, &action, &before) == 0;
    }();
    (void)is_set;
}

static std::vector<unsigned> turns(Machine& machine, unsigned n) {
    std::vector<unsigned> turn(n);
    long long order = machine.values[ORDER];
    for (unsigned i = 0; i < n; ++i) turn[i] = order == 1 ? n - 1 - i : i;
    if (order == 2)
        for (unsigned i = n; i > 1; --i) std::swap(turn[i - 1], turn[machine.random_below(i)]);
    return turn;
}
// Not inlined: what a caller holds in registers is lost when a thread jumps back.
__attribute__((noinline)) static void run_until_it_yields(Block& b, Thread& thread) {
    if (thread.is_done) return;
    running = &thread;
    if (!_setjmp(b.scheduler)) {
        if (thread.has_begun) _longjmp(thread.here, 1);
        thread.has_begun = true;
        setcontext(&thread.start);
    }
    running = nullptr;
}
// Returns what went wrong, if anything did.
static const char* run_block(Machine& machine, void (*kernel)(void**), void** args, size_t dynamic) {
    catch_faults();
    unsigned n = block_size.x * block_size.y * block_size.z, warps = (n + 31) / 32;
    Block b;
    b.machine = &machine, b.kernel = kernel, b.args = args, b.alive = (int)n;
    b.dynamic.assign(dynamic + 16, POISON);
    b.threads.resize(n), b.warps.resize(warps);
    block = &b;
    if (stacks.size() < n) stacks.resize(n);
    for (unsigned i = 0; i < n; ++i) {
        Thread& thread = b.threads[i];
        if (stacks[i].empty()) stacks[i].resize(STACK_BYTES);
        thread.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
        thread.lane = (int)(i % 32), thread.warp = &b.warps[i / 32];
        getcontext(&thread.start);
        thread.start.uc_stack.ss_sp = stacks[i].data(), thread.start.uc_stack.ss_size = STACK_BYTES;
        thread.start.uc_link = nullptr;
        makecontext(&thread.start, trampoline, 0);
    }
    auto turn = turns(machine, n);
    auto is_alive = [&] {
        for (auto& thread : b.threads)
            if (!thread.is_done) return true;
        return false;
    };
    while (is_alive()) {
        unsigned long at_start = b.steps;
        if (machine.values[ORDER] == 0) {
            for (unsigned at : turn) run_until_it_yields(b, b.threads[at]);
        } else {
            // One warp after the other, each as far as it gets.
            for (unsigned warp : turns(machine, warps)) {
                unsigned long then;
                do {
                    then = b.steps;
                    for (unsigned lane : turns(machine, 32))
                        if (warp * 32 + lane < n) run_until_it_yields(b, b.threads[warp * 32 + lane]);
                } while (b.steps != then && !b.wrong);
            }
        }
        if (b.steps == at_start && !b.wrong) b.wrong = "threads wait for each other";
    }
    for (auto& thread : b.threads)
        if (!b.wrong && !thread.open.empty()) b.wrong = "a copy was never committed";
    block = nullptr;
    return b.wrong;
}
} // namespace emulator
