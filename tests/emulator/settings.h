// How the emulated machine is, and what fails on it: for the process by the environment, for a thread by calls.
//
//   devices (0)        how many there are; without any, the driver says so
//   driver (12000)     the version of CUDA that the driver supports
//   capability (80)    the compute capability of the devices, ten times the major number plus the minor one
//   memory (2^30)      the bytes of a device
//   order (0)          0: everything happens at once and in order; 1: as late as it may, and backwards; 2: at random
//   fail_launch (0)    the n-th launch fails, and the device with it
//   fail_copy (0)      the same for copies between host and device
//   fail_alloc (0)     the n-th allocation finds no memory, pinned ones included
//
// The environment has them as NCKIT_EMU_DEVICES and so on. A thread that begins a machine of its own no longer looks there.
#pragma once
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace emulator {
struct Setting {
    const char* name;
    long long otherwise;
};
static const Setting SETTINGS[] = {{"devices", 0},     {"driver", 12000}, {"capability", 80}, {"memory", 1 << 30}, {"order", 0},
                                   {"fail_launch", 0}, {"fail_copy", 0},  {"fail_alloc", 0}};
enum Key { DEVICES, DRIVER, CAPABILITY, MEMORY, ORDER, FAIL_LAUNCH, FAIL_COPY, FAIL_ALLOC, KEYS };

struct Machine {
    long long values[KEYS];
    std::atomic<long long> launches{0}, copies{0}, allocations{0}, used{0};
    // The error that the device stays with.
    std::atomic<int> failed{0};
    unsigned long long seed = 1;

    unsigned random_below(unsigned n) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return (unsigned)(seed >> 33) % n;
    }
};

inline std::shared_ptr<Machine> make_machine(bool by_environment) {
    auto machine = std::make_shared<Machine>();
    for (int key = 0; key < KEYS; ++key) {
        std::string name = "NCKIT_EMU_";
        for (const char* c = SETTINGS[key].name; *c; ++c) name += (char)(*c == '_' ? '_' : *c - 'a' + 'A');
        const char* text = by_environment ? getenv(name.c_str()) : nullptr;
        machine->values[key] = text ? strtoll(text, nullptr, 10) : SETTINGS[key].otherwise;
    }
    return machine;
}
inline std::shared_ptr<Machine>& own_machine() {
    static thread_local std::shared_ptr<Machine> own;
    return own;
}
inline std::shared_ptr<Machine> machine() {
    static std::shared_ptr<Machine> common = make_machine(true);
    return own_machine() ? own_machine() : common;
}
} // namespace emulator
