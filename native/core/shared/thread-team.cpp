#include "shared/thread-team.h"

namespace inward {

namespace {

// Phases take microseconds; a waiting thread goes to sleep only where something else must have taken a partner's core. The system
// then moves the partner, or what took its place, to the core that is free: one that yields and stays keeps both.
constexpr int SPINS = 4000;

inline void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

thread_team::thread_team(int threads) : threads_(threads) {
    for (int i = 1; i < threads; i++) others_.emplace_back([this, i] { serve(i); });
}

thread_team::~thread_team() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        ends_ = true;
    }
    begins_.notify_all();
    for (auto & one : others_) one.join();
}

void thread_team::run(size_t phases, const std::function<void(team_member &)> & work) {
    if (next_.size() < phases + 1) next_ = std::vector<std::atomic<int64_t>>(phases + 1);
    for (auto & one : next_) one.store(0, std::memory_order_relaxed);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        work_ = &work;
        runs_++;
    }
    begins_.notify_all();
    team_member first(*this, 0);
    work(first);
    meet();  // nobody is inside any more
}

void thread_team::serve(int number) {
    uint64_t seen = 0;
    for (;;) {
        const std::function<void(team_member &)> * work;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            begins_.wait(lock, [&] { return ends_ || runs_ != seen; });
            if (ends_) return;
            seen = runs_;
            work = work_;
        }
        team_member one(*this, number);
        (*work)(one);
        meet();
    }
}

void thread_team::meet() {
    if (threads_ == 1) return;
    const uint64_t before = passed_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        passed_.store(before + 1);
        if (asleep_.load() == 0) return;
        { const std::lock_guard<std::mutex> lock(mutex_); }
        goes_on_.notify_all();
        return;
    }
    for (int spins = 0; spins < SPINS; spins++) {
        if (passed_.load(std::memory_order_acquire) != before) return;
        pause_briefly();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_++;  // before passed_ is looked at: who passes looks in the other order
    goes_on_.wait(lock, [&] { return passed_.load() != before; });
    asleep_--;
}

}  // namespace inward
