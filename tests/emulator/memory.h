// What drivers answer, and the memory that they give out.
#pragma once
#include "blocks.h"
#include <mutex>
#include <sys/mman.h>

namespace emulator {
enum {
    OK = 0,
    INVALID = 1,
    NO_MEMORY = 2,
    NO_DEVICE = 100,
    NO_SUCH_DEVICE = 101,
    INVALID_PTX = 218,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_FAILED = 719
};
typedef int Result;
typedef unsigned long long Address;
typedef void* Handle;

static std::mutex rooms_lock;
struct Room {
    size_t bytes, mapped;
    std::shared_ptr<Machine> machine;
};
static std::map<Address, Room> rooms;
static std::map<size_t, size_t> pinned; // address → bytes

static bool counts_to(std::atomic<long long>& count, Key key, Machine& machine) {
    return ++count == machine.values[key];
}
// An allocation ends where its last page ends, and the page behind it cannot be touched.
static Result allocate(Address* out, size_t bytes) {
    auto owner = machine();
    size_t rounded = (bytes + 15) & ~(size_t)15, mapped = ((rounded + 4095) & ~(size_t)4095) + 4096;
    if (counts_to(owner->allocations, FAIL_ALLOC, *owner)) return NO_MEMORY;
    if (owner->used + (long long)rounded > owner->values[MEMORY]) return NO_MEMORY;
    char* base = (char*)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NO_MEMORY;
    memset(base, POISON, mapped - 4096);
    mprotect(base + mapped - 4096, 4096, PROT_NONE);
    *out = (Address)(base + mapped - 4096 - rounded);
    owner->used += (long long)rounded;
    std::lock_guard<std::mutex> guard(rooms_lock);
    rooms[*out] = {rounded, mapped, owner};
    return OK;
}
static Result release(Address at) {
    if (!at) return OK;
    std::lock_guard<std::mutex> guard(rooms_lock);
    auto it = rooms.find(at);
    if (it == rooms.end()) return INVALID;
    Room& room = it->second;
    room.machine->used -= (long long)room.bytes;
    munmap((void*)(at + room.bytes + 4096 - room.mapped), room.mapped);
    rooms.erase(it);
    return OK;
}
// Drivers differ in what they say about no bytes at all, so here that is an error.
static bool is_inside(Address at, size_t bytes) {
    std::lock_guard<std::mutex> guard(rooms_lock);
    auto it = rooms.upper_bound(at);
    if (it == rooms.begin() || bytes == 0) return false;
    --it;
    return at + bytes <= it->first + it->second.bytes;
}
static bool is_pinned(const void* at, size_t bytes) {
    std::lock_guard<std::mutex> guard(rooms_lock);
    auto it = pinned.upper_bound((size_t)at);
    if (it == pinned.begin()) return false;
    --it;
    return (size_t)at + bytes <= it->first + it->second;
}
} // namespace emulator
