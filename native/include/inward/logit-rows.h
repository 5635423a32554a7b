// Logits of many positions, kept in memory so that another file's can be held against them, one position at a time.
#pragma once
#include <cstdint>
#include <vector>

namespace inward {

// What two files say of one position: `kept` first, the other second. Natural logs, double precision, full vocabulary.
struct row_comparison {
    double kl_forward  = 0;  // sum over tokens of p_kept (log p_kept - log p)
    double kl_backward = 0;
    double kept_target = 0, target = 0;  // log-probability of the token that follows
    double kept_best = 0, best = 0;      // most likely token, the lowest id of equals
    double kept_margin = 0, margin = 0;  // its lead over the second, nats
    // As llama-perplexity sums it: terms of a kept log-probability of -16 or less are dropped. Where the kept numbers
    // are log-probabilities as a base file has them, all figures take them as they stand, not summing to one.
    double kl_llama = 0;
    double done     = 0;  // 1 once it was compared
};

class logit_rows {
public:
    // throws inward::error ENGINE_MEMORY
    logit_rows(int64_t rows, int64_t vocabulary);

    int64_t rows() const { return rows_; }
    int64_t vocabulary() const { return vocabulary_; }

    void keep(int64_t row, const float * logits);
    // Log-probabilities that are taken as they stand.
    void keep_logprobs(int64_t row, const float * logprobs);
    void compare(int64_t row, const float * logits, int32_t target);
    const float * kept(int64_t row) const { return values_.data() + row * vocabulary_; }
    const std::vector<row_comparison> & compared() const { return compared_; }
    // Forgets comparisons, not what is kept.
    void compare_anew();

private:
    enum state : uint8_t { EMPTY, LOGITS, LOGPROBS };

    int64_t                     rows_, vocabulary_;
    std::vector<float>          values_;  // [rows x vocabulary]
    std::vector<uint8_t>        states_;
    std::vector<row_comparison> compared_;
};

}  // namespace inward
