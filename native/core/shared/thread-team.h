// Threads that go through one computation together, phase by phase. Who takes which part of a phase is left to chance:
// only computations whose results do not depend on it belong here.
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace inward {

class thread_team;

// One thread's view of a run.
class team_member {
public:
    const int number;

    // Calls part(first, last) for pieces of [0, count) until all members together have done all, and waits for them.
    template <typename Part> void each(int64_t count, int64_t piece, const Part & part);
    // The same with part(first, last, then): `then` is where this member's next piece begins, or `count`.
    template <typename Part> void each_and_next(int64_t count, int64_t piece, const Part & part);

private:
    friend class thread_team;
    team_member(thread_team & team, int number) : number(number), team_(team) {}
    thread_team & team_;
    size_t        phase_ = 0;
};

class thread_team {
public:
    explicit thread_team(int threads);
    ~thread_team();
    thread_team(const thread_team &) = delete;

    int size() const { return threads_; }
    // Every member calls `work`, which goes through at most `phases` calls of each().
    void run(size_t phases, const std::function<void(team_member &)> & work);

private:
    friend class team_member;
    const int                             threads_;
    std::vector<std::thread>              others_;
    std::mutex                            mutex_;
    std::condition_variable               begins_, goes_on_;
    const std::function<void(team_member &)> * work_ = nullptr;
    uint64_t                              runs_ = 0;
    bool                                  ends_ = false;
    std::vector<std::atomic<int64_t>>     next_;  // of each phase
    std::atomic<int>                      arrived_{ 0 };
    std::atomic<uint64_t>                 passed_{ 0 };
    std::atomic<int>                      asleep_{ 0 };  // of those that wait in meet()

    void serve(int number);
    void meet();
};

template <typename Part> void team_member::each(int64_t count, int64_t piece, const Part & part) {
    auto & next = team_.next_[phase_++];
    for (;;) {
        const int64_t first = next.fetch_add(piece, std::memory_order_relaxed);
        if (first >= count) break;
        part(first, first + piece < count ? first + piece : count);
    }
    team_.meet();
}

template <typename Part> void team_member::each_and_next(int64_t count, int64_t piece, const Part & part) {
    auto &     next  = team_.next_[phase_++];
    const auto claim = [&] { return std::min(count, next.fetch_add(piece, std::memory_order_relaxed)); };
    for (int64_t first = claim(); first < count;) {
        const int64_t then = claim();
        part(first, std::min(count, first + piece), then);
        first = then;
    }
    team_.meet();
}

}  // namespace inward
