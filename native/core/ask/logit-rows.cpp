#include "inward/logit-rows.h"

#include <cmath>
#include <cstring>
#include <new>
#include <string>

#include "ask/read-logits.h"
#include "inward/error.h"
#include "shared/devices.h"
#include "shared/vector-loops.h"

namespace inward {

namespace {

// llama-perplexity leaves out what is less likely than that, nats.
constexpr double LLAMA_LEAST = -16;

// Where nobody says what the machine has; bytes.
constexpr double MOST_BYTES = 1e12;

struct kl_sums {
    double forward, backward, llama;
};

// Of the sum of p (log p - log q) each term is taken as q - p + p r, r = log p - log q: the same sum, as both sum to one,
// and no term is negative; near r = 0, where q - p would lose all digits, by its series.
INWARD_CLONES kl_sums sum_divergence(const float * a, double a_sum, const float * b, double b_sum, int64_t n, bool whole) {
    constexpr double NEAR = 1e-3;
    double forward[STRANDS] = { 0 }, backward[STRANDS] = { 0 }, llama[STRANDS] = { 0 };
    for (int64_t i = 0; i < n; i += STRANDS) {
        const int64_t most = n - i < STRANDS ? n - i : STRANDS;
        for (int64_t s = 0; s < most; s++) {
            const double log_p = (double) a[i + s] - a_sum, log_q = (double) b[i + s] - b_sum;
            const double p = exp_below_one(log_p), q = exp_below_one(log_q);
            const double r = log_p - log_q;
            const double half = 0.5 * r * r, cubed = r * r * r * (1.0 / 6.0), fourth = half * half * (1.0 / 6.0);
            const bool   near = r < NEAR && r > -NEAR;
            const double up   = near ? p * (half - cubed + fourth) : q - p + p * r;
            const double down = near ? q * (half + cubed + fourth) : p - q - q * r;
            forward[s] += whole ? up : p * r;
            backward[s] += whole ? down : -q * r;
            llama[s] += log_p > LLAMA_LEAST ? p * r : 0.0;
        }
    }
    kl_sums all{ 0, 0, 0 };
    for (int s = 0; s < STRANDS; s++) {
        all.forward += forward[s];
        all.backward += backward[s];
        all.llama += llama[s];
    }
    return all;
}

}  // namespace

logit_rows::logit_rows(int64_t rows, int64_t vocabulary) : rows_(rows), vocabulary_(vocabulary) {
    if (rows < 1 || vocabulary < 1) throw error("TRAIN_SHAPE", "there are no rows to keep");
    // More than there is would not fail here but drive everything else out.
    const double   bytes = sizeof(float) * (double) rows * (double) vocabulary;
    const uint64_t free  = free_machine_memory();
    const double   most  = free > 0 ? (double) free : MOST_BYTES;
    if (bytes + (double) rows * sizeof(row_comparison) > most) {
        throw error("ENGINE_MEMORY", "there is no memory for the logits of " + std::to_string(rows) + " positions");
    }
    try {
        values_.resize((size_t) rows * vocabulary);
        states_.resize(rows, EMPTY);
        compared_.resize(rows);
    } catch (const std::bad_alloc &) {
        throw error("ENGINE_MEMORY", "there is no memory for the logits of " + std::to_string(rows) + " positions");
    }
}

void logit_rows::keep(int64_t row, const float * logits) {
    std::memcpy(values_.data() + row * vocabulary_, logits, (size_t) vocabulary_ * sizeof(float));
    states_[row] = LOGITS;
}

void logit_rows::keep_logprobs(int64_t row, const float * logprobs) {
    keep(row, logprobs);
    states_[row] = LOGPROBS;
}

void logit_rows::compare(int64_t row, const float * logits, int32_t target) {
    if (states_[row] == EMPTY) throw error("INTERNAL", "nothing is kept of position " + std::to_string(row));
    const logits_reader reader(vocabulary_);
    const float *       first = kept(row);
    const bool          whole = states_[row] == LOGITS;
    const auto          a = reader.read(first), b = reader.read(logits);
    const double        a_sum = whole ? a.log_sum_exp : 0;
    const auto          sums  = sum_divergence(first, a_sum, logits, b.log_sum_exp, vocabulary_, whole);
    auto &              found = compared_[row];
    found.kl_forward          = sums.forward;
    found.kl_backward         = sums.backward;
    found.kl_llama            = sums.llama;
    found.kept_target         = (double) first[target] - a_sum;
    found.target              = (double) logits[target] - b.log_sum_exp;
    found.kept_best           = a.best;
    found.best                = b.best;
    found.kept_margin         = a.margin;
    found.margin              = b.margin;
    found.done                = 1;
    if (!std::isfinite(sums.forward) || !std::isfinite(sums.backward)) {
        throw error("ENGINE_NOT_FINITE", "two files differ by more than a number at position " + std::to_string(row));
    }
}

void logit_rows::compare_anew() { compared_.assign(rows_, row_comparison()); }

}  // namespace inward
