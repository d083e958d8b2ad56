// libcuda.so for machines without a GPU: kernels run on this processor, from the source that the PTX is made of.
//
// Work on a stream may be done when it is asked for, or as late as somebody waits for it. Memory begins as poison, nothing
// lies behind an allocation, and things fail where "settings.h" says so.
#define NCKIT_EMULATED
#include "device.h"

#include "map.cu"

#include "blocks.h"
#include "entries.h"
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <sys/mman.h>

using namespace emulator;
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

static const std::vector<Entry> ENTRIES = {
    ENTRY(factors), ENTRY(sigma), ENTRY(gram), ENTRY(fold), ENTRY(row_sums), ENTRY(guard),
    ENTRIES_FOR_TYPES(magnitudes), ENTRIES_FOR_TYPES(class_squares), ENTRIES_FOR_TYPES(totals),
    ENTRIES_FOR_TYPES(long_rows), ENTRIES_FOR_TYPES(round_rows)};

#define API extern "C" __attribute__((visibility("default"))) Result
#define EXPORT extern "C" __attribute__((visibility("default")))
// A device that has failed answers everything with its error.
#define UNLESS_FAILED \
    if (int failed = machine()->failed) return failed

// ---------------------------------------------------------------------------------------------------------------------
// Memory

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
static bool is_inside(Address at, size_t bytes) {
    std::lock_guard<std::mutex> guard(rooms_lock);
    auto it = rooms.upper_bound(at);
    if (it == rooms.begin()) return false;
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

// ---------------------------------------------------------------------------------------------------------------------
// Streams and events

struct Stream {
    std::recursive_mutex lock;
    std::deque<std::function<Result()>> waiting;
    unsigned long long asked = 0, done = 0;
    std::shared_ptr<Machine> owner = machine();

    Result run_to(unsigned long long place) {
        std::lock_guard<std::recursive_mutex> guard(lock);
        while (done < place && !waiting.empty()) {
            auto work = std::move(waiting.front());
            waiting.pop_front(), ++done;
            if (owner->failed) continue;
            if (Result result = work()) owner->failed = result;
        }
        return owner->failed;
    }
    Result finish() { return run_to(~0ull); }
    Result ask(std::function<Result()> work) {
        std::lock_guard<std::recursive_mutex> guard(lock);
        waiting.push_back(std::move(work)), ++asked;
        long long order = owner->values[ORDER];
        if (order == 0) return finish();
        if (order == 2) return run_to(done + owner->random_below((unsigned)waiting.size() + 1));
        return OK;
    }
};
struct Event {
    Stream* stream = nullptr;
    unsigned long long place = 0;
};
static std::mutex streams_lock;
static std::vector<Stream*> streams;

static Result finish_all() {
    std::vector<Stream*> all;
    {
        std::lock_guard<std::mutex> guard(streams_lock);
        all = streams;
    }
    auto mine = machine();
    for (auto stream : all)
        if (stream->owner == mine) stream->finish();
    return mine->failed;
}
API cuStreamCreate(Handle* out, unsigned) {
    UNLESS_FAILED;
    auto stream = new Stream;
    std::lock_guard<std::mutex> guard(streams_lock);
    streams.push_back(stream);
    *out = stream;
    return OK;
}
API cuStreamDestroy_v2(Handle s) {
    auto stream = (Stream*)s;
    stream->finish();
    std::lock_guard<std::mutex> guard(streams_lock);
    for (size_t at = 0; at < streams.size(); ++at)
        if (streams[at] == stream) streams.erase(streams.begin() + (long)at--);
    delete stream;
    return OK;
}
API cuStreamSynchronize(Handle s) {
    UNLESS_FAILED;
    return ((Stream*)s)->finish();
}
API cuStreamWaitEvent(Handle, Handle e, unsigned) {
    UNLESS_FAILED;
    auto event = (Event*)e;
    return event->stream ? event->stream->run_to(event->place) : OK;
}
API cuCtxSynchronize() { return finish_all(); }
API cuEventCreate(Handle* out, unsigned) {
    UNLESS_FAILED;
    *out = new Event;
    return OK;
}
API cuEventRecord(Handle e, Handle s) {
    UNLESS_FAILED;
    auto event = (Event*)e;
    event->stream = (Stream*)s, event->place = event->stream->asked;
    return OK;
}
API cuEventQuery(Handle e) {
    UNLESS_FAILED;
    auto event = (Event*)e;
    return !event->stream || event->stream->done >= event->place ? OK : NOT_READY;
}
API cuEventSynchronize(Handle e) {
    UNLESS_FAILED;
    auto event = (Event*)e;
    return event->stream ? event->stream->run_to(event->place) : OK;
}
API cuEventElapsedTime(float* ms, Handle, Handle) {
    *ms = 1;
    return OK;
}
API cuEventDestroy_v2(Handle e) {
    delete (Event*)e;
    return OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Devices and contexts

API cuInit(unsigned) { return machine()->values[DEVICES] ? OK : NO_DEVICE; }
API cuDriverGetVersion(int* version) {
    *version = (int)machine()->values[DRIVER];
    return OK;
}
API cuDeviceGetCount(int* count) {
    *count = (int)machine()->values[DEVICES];
    return OK;
}
API cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal < machine()->values[DEVICES] ? OK : NO_SUCH_DEVICE;
}
API cuDeviceGetName(char* name, int bytes, int device) {
    snprintf(name, (size_t)bytes, "emulated device %d", device);
    return OK;
}
API cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = (size_t)machine()->values[MEMORY];
    return OK;
}
API cuDeviceGetAttribute(int* value, int attribute, int) {
    enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76 };
    long long capability = machine()->values[CAPABILITY];
    switch (attribute) {
    case MAJOR: *value = (int)(capability / 10); break;
    case MINOR: *value = (int)(capability % 10); break;
    case MULTIPROCESSORS: *value = 3; break;
    default: *value = 0;
    }
    return OK;
}
static thread_local Handle current;
API cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { return OK; }
API cuDevicePrimaryCtxRetain(Handle* context, int device) {
    *context = (Handle)(size_t)(device + 1);
    return OK;
}
API cuDevicePrimaryCtxRelease_v2(int) { return OK; }
API cuCtxSetCurrent(Handle context) {
    current = context;
    return OK;
}
API cuCtxGetCurrent(Handle* context) {
    *context = current;
    return OK;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
    UNLESS_FAILED;
    auto mine = machine();
    *total = (size_t)mine->values[MEMORY], *free = (size_t)(mine->values[MEMORY] - mine->used);
    return OK;
}
static const char* text(int error) {
    switch (error) {
    case OK: return "no error";
    case INVALID: return "invalid argument";
    case NO_MEMORY: return "out of memory";
    case NO_DEVICE: return "no CUDA-capable device is detected";
    case LAUNCH_FAILED: return "unspecified launch failure";
    default: return "another error";
    }
}
API cuGetErrorName(int error, const char** name) {
    *name = text(error);
    return OK;
}
API cuGetErrorString(int error, const char** string) {
    *string = text(error);
    return OK;
}

// ---------------------------------------------------------------------------------------------------------------------
// Allocations and copies

API cuMemAlloc_v2(Address* out, size_t bytes) {
    UNLESS_FAILED;
    return bytes ? allocate(out, bytes) : INVALID;
}
API cuMemFree_v2(Address at) { return release(at); }
API cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    UNLESS_FAILED;
    auto mine = machine();
    if (counts_to(mine->allocations, FAIL_ALLOC, *mine)) return NO_MEMORY;
    if (!(*out = aligned_alloc(64, (bytes + 63) & ~(size_t)63))) return NO_MEMORY;
    memset(*out, POISON, bytes);
    std::lock_guard<std::mutex> guard(rooms_lock);
    pinned[(size_t)*out] = bytes;
    return OK;
}
API cuMemFreeHost(void* at) {
    {
        std::lock_guard<std::mutex> guard(rooms_lock);
        if (!pinned.erase((size_t)at)) return INVALID;
    }
    free(at);
    return OK;
}
static Result copy_fails() {
    auto mine = machine();
    return counts_to(mine->copies, FAIL_COPY, *mine) ? (Result)(mine->failed = LAUNCH_FAILED) : OK;
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Handle s) {
    UNLESS_FAILED;
    if (Result failed = copy_fails()) return failed;
    if (!is_inside(to, bytes)) return INVALID;
    if (is_pinned(from, bytes))
        return ((Stream*)s)->ask([=] { return is_inside(to, bytes) ? (memcpy((void*)to, from, bytes), OK) : INVALID; });
    // The driver reads pageable memory before it returns.
    std::vector<char> copy((const char*)from, (const char*)from + bytes);
    return ((Stream*)s)->ask([=] { return is_inside(to, bytes) ? (memcpy((void*)to, copy.data(), bytes), OK) : INVALID; });
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Handle s) {
    UNLESS_FAILED;
    if (Result failed = copy_fails()) return failed;
    if (!is_inside(from, bytes)) return INVALID;
    auto stream = (Stream*)s;
    stream->ask([=] { return is_inside(from, bytes) ? (memcpy(to, (void*)from, bytes), OK) : INVALID; });
    return is_pinned(to, bytes) ? OK : stream->finish();
}
API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Handle s) {
    UNLESS_FAILED;
    if (!is_inside(from, bytes) || !is_inside(to, bytes)) return INVALID;
    return ((Stream*)s)->ask([=] {
        return is_inside(from, bytes) && is_inside(to, bytes) ? (memmove((void*)to, (void*)from, bytes), OK) : INVALID;
    });
}
API cuMemsetD8Async(Address at, unsigned char value, size_t bytes, Handle s) {
    UNLESS_FAILED;
    if (!is_inside(at, bytes)) return INVALID;
    return ((Stream*)s)->ask([=] { return is_inside(at, bytes) ? (memset((void*)at, value, bytes), OK) : INVALID; });
}

// ---------------------------------------------------------------------------------------------------------------------
// Kernels

API cuModuleLoadData(Handle* module, const void* image) {
    UNLESS_FAILED;
    *module = (Handle)1;
    return strstr((const char*)image, ".entry") ? OK : INVALID_PTX;
}
API cuModuleUnload(Handle) { return OK; }
API cuModuleGetFunction(Handle* function, Handle, const char* name) {
    for (auto& entry : ENTRIES)
        if (!strcmp(entry.name, name)) return *function = (Handle)&entry, OK;
    return NOT_FOUND;
}
API cuFuncSetAttribute(Handle, int, int) { return OK; }
static Result run(const Entry& entry, Index grid, Index size, size_t dynamic, std::vector<std::vector<char>>& kept) {
    auto mine = machine();
    std::vector<void*> args;
    for (auto& arg : kept) args.push_back(arg.data());
    grid_size = grid, block_size = size;
    for (unsigned at : turns(*mine, grid.x * grid.y * grid.z)) {
        block_index = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
        if (const char* wrong = run_block(*mine, entry.call, args.data(), dynamic)) {
            fprintf(stderr, "%s, block %u %u %u: %s\n", entry.name, block_index.x, block_index.y, block_index.z, wrong);
            return LAUNCH_FAILED;
        }
    }
    return OK;
}
API cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned dynamic, Handle s, void** args, void**) {
    UNLESS_FAILED;
    auto mine = machine();
    const Entry& entry = *(const Entry*)function;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || bx * by * bz > 1024) return INVALID;
    bool fails = counts_to(mine->launches, FAIL_LAUNCH, *mine);
    std::vector<std::vector<char>> kept;
    for (size_t at = 0; at < entry.sizes.size(); ++at) kept.emplace_back((char*)args[at], (char*)args[at] + entry.sizes[at]);
    return ((Stream*)s)->ask([=, &entry]() mutable {
        return fails ? (Result)LAUNCH_FAILED : run(entry, {gx, gy, gz}, {bx, by, bz}, dynamic, kept);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// For tests

// From here on this thread has a machine of its own, with nothing allocated and no setting changed.
EXPORT void nckit_emulator_begin() { own_machine() = make_machine(false); }
// Changes a setting of this thread's machine, whose counts begin again.
EXPORT void nckit_emulator_set(const char* name, long long value) {
    auto mine = machine();
    for (int key = 0; key < KEYS; ++key)
        if (!strcmp(SETTINGS[key].name, name)) mine->values[key] = value;
    mine->launches = mine->copies = mine->allocations = 0;
}
// How many launches, copies or allocations this thread's machine has seen, or the bytes that are allocated.
EXPORT long long nckit_emulator_count(const char* what) {
    auto mine = machine();
    if (!strcmp(what, "launches")) return mine->launches;
    if (!strcmp(what, "copies")) return mine->copies;
    if (!strcmp(what, "allocations")) return mine->allocations;
    return mine->used;
}
// The kernels, a line each, with the bytes of their parameters.
EXPORT const char* nckit_emulator_entries() {
    static std::string all = [] {
        std::string lines;
        for (auto& entry : ENTRIES) {
            lines += entry.name;
            for (size_t bytes : entry.sizes) lines += " " + std::to_string(bytes);
            lines += "\n";
        }
        return lines;
    }();
    return all.c_str();
}
