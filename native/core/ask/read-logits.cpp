#include "ask/read-logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "shared/row-kernels.h"
#include "shared/vector-loops.h"

namespace inward {

namespace {

struct exp_sums {
    double sum;       // of exp(logit - best)
    double weighted;  // of exp(logit - best) * (logit - best)
};

INWARD_CLONES exp_sums sum_exps(const float * logits, int64_t n, float best) {
    double  sum[STRANDS] = { 0 }, weighted[STRANDS] = { 0 };
    int64_t i = 0;
    for (; i + STRANDS <= n; i += STRANDS) {
        for (int s = 0; s < STRANDS; s++) {
            const double below = (double) logits[i + s] - (double) best;
            const double e     = exp_below_one(below);
            sum[s] += e;
            weighted[s] += e * below;
        }
    }
    exp_sums all{ 0, 0 };
    for (; i < n; i++) {
        const double below = (double) logits[i] - (double) best;
        const double e     = exp_below_one(below);
        all.sum += e;
        all.weighted += e * below;
    }
    for (int s = 0; s < STRANDS; s++) {
        all.sum += sum[s];
        all.weighted += weighted[s];
    }
    return all;
}

// Greatest of what stands before and after `skipped`.
float greatest_other(const float * values, int64_t n, int64_t skipped) {
    float most = -std::numeric_limits<float>::infinity();
    if (skipped > 0) most = greatest(values, skipped);
    if (skipped + 1 < n) most = std::max(most, greatest(values + skipped + 1, n - skipped - 1));
    return most;
}

}  // namespace

position_reading logits_reader::read(const float * logits) const {
    const int64_t    n    = vocabulary_;
    const float      best = greatest(logits, n);
    position_reading found{ 0, 0, 0, 0, true };
    // The first of equal ones. None is equal when there is a NaN, which the sums tell.
    found.best        = (int32_t) (std::find(logits, logits + n, best) - logits) % (int32_t) n;
    found.margin      = n < 2 ? std::numeric_limits<double>::max()
                              : (double) best - (double) greatest_other(logits, n, found.best);
    const auto exps   = sum_exps(logits, n, best);
    found.log_sum_exp = (double) best + std::log(exps.sum);
    found.entropy     = std::log(exps.sum) - exps.weighted / exps.sum;
    found.finite      = std::isfinite(found.log_sum_exp) && std::isfinite(exps.weighted);
    return found;
}

void logits_reader::top(const float * logits, int32_t k, std::vector<int32_t> & ids) const {
    ids.clear();
    auto before = [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    // A heap whose front is the least likely of those kept.
    for (int32_t id = 0; id < (int32_t) vocabulary_; id++) {
        if ((int32_t) ids.size() < k) {
            ids.push_back(id);
            std::push_heap(ids.begin(), ids.end(), before);
        } else if (logits[id] > logits[ids.front()]) {
            std::pop_heap(ids.begin(), ids.end(), before);
            ids.back() = id;
            std::push_heap(ids.begin(), ids.end(), before);
        }
    }
    std::sort(ids.begin(), ids.end(), before);
}

int32_t logits_reader::sample(const float * logits, const position_reading & reading, double draw,
                              double temperature) const {
    if (temperature != 1) return sample_scaled(logits, logits[reading.best], draw, temperature);
    double  cumulative = 0;
    int32_t possible   = 0;
    for (int32_t id = 0; id < (int32_t) vocabulary_; id++) {
        const double p = std::exp((double) logits[id] - reading.log_sum_exp);
        if (p > 0) possible = id;
        cumulative += p;
        if (draw < cumulative) return id;
    }
    return possible;  // rounding can leave the total a hair below 1
}

// The best logit is taken off before the rest is scaled: nothing overflows at any temperature, however near 0.
int32_t logits_reader::sample_scaled(const float * logits, float best, double draw, double temperature) const {
    const auto weight = [&](int64_t id) { return std::exp(((double) logits[id] - (double) best) / temperature); };
    double     total  = 0;
    for (int64_t id = 0; id < vocabulary_; id++) total += weight(id);
    const double wanted     = draw * total;
    double       cumulative = 0;
    int32_t      possible   = 0;
    for (int32_t id = 0; id < (int32_t) vocabulary_; id++) {
        const double w = weight(id);
        if (w > 0) possible = id;
        cumulative += w;
        if (wanted < cumulative) return id;
    }
    return possible;  // of a draw just below 1 the product may be the total
}

void read_team::read(std::vector<read_work> & rows) {
    const auto read_one = [this](read_work & one) {
        one.found = reader_.read(one.logits);
        if (!one.found.finite) return;
        if (one.top > 0) reader_.top(one.logits, one.top, one.top_ids);
        for (const auto & [draw, temperature] : one.choices) {
            one.tokens.push_back(draw < 0 ? one.found.best : reader_.sample(one.logits, one.found, draw, temperature));
        }
    };
    // Below that, waking threads takes longer than they save.
    constexpr int64_t WORTH_WAKING = 1 << 18;
    if ((int64_t) rows.size() * reader_.vocabulary() < WORTH_WAKING || team_.size() == 1 || rows.size() == 1) {
        for (auto & one : rows) read_one(one);
        return;
    }
    team_.run(1, [&](team_member & member) {
        member.each((int64_t) rows.size(), 1, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) read_one(rows[i]);
        });
    });
}

}  // namespace inward
