#include "read-logits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels.h"

namespace inward {

namespace {

// Sums of single-precision terms over pieces of this length are carried on in double.
constexpr int64_t PIECE = 1024;

}  // namespace

position_reading logits_reader::read(const float * logits) {
    const int64_t    n = (int64_t) exps_.size();
    position_reading found{ 0, 0, 0, 0, true };
    float            best = -std::numeric_limits<float>::infinity(), second = best;
    for (int64_t i = 0; i < n; i++) {
        const float value = logits[i];
        if (value > best) {
            second     = best;
            best       = value;
            found.best = (int32_t) i;
        } else if (value > second) {
            second = value;
        }
    }
    found.margin = n < 2 ? std::numeric_limits<double>::max() : (double) best - (double) second;
    std::memcpy(exps_.data(), logits, n * sizeof(float));
    double sum = 0, weighted = 0;
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t count = std::min(PIECE, n - i);
        sum += exp_sum(exps_.data() + i, count, best);
        weighted += shifted_dot(exps_.data() + i, logits + i, count, best);
    }
    found.log_sum_exp = (double) best + std::log(sum);
    found.entropy     = std::log(sum) - weighted / sum;
    found.finite      = std::isfinite(found.log_sum_exp) && std::isfinite(weighted);
    return found;
}

void logits_reader::top(const float * logits, int32_t k, std::vector<int32_t> & ids) const {
    ids.clear();
    auto before = [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    // A heap whose front is the least likely of those kept.
    for (int32_t id = 0; id < (int32_t) exps_.size(); id++) {
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

int32_t logits_reader::sample(const float * logits, const position_reading & reading, double draw) const {
    double  cumulative = 0;
    int32_t possible   = 0;
    for (int32_t id = 0; id < (int32_t) exps_.size(); id++) {
        const double p = std::exp((double) logits[id] - reading.log_sum_exp);
        if (p > 0) possible = id;
        cumulative += p;
        if (draw < cumulative) return id;
    }
    return possible;  // rounding can leave the total a hair below 1
}

}  // namespace inward
