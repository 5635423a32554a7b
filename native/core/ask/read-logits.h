// What is read from one position's raw logits; exact in double wherever values of the whole vocabulary are summed.
#pragma once
#include <cstdint>
#include <vector>

namespace inward {

struct position_reading {
    double  log_sum_exp;
    double  entropy;  // nats
    int32_t best;     // ties: the lowest id
    double  margin;   // best minus second-best logit; the largest double when there is no second
    bool    finite;
};

class logits_reader {
public:
    explicit logits_reader(int64_t vocabulary) : vocabulary_(vocabulary) {}

    position_reading read(const float * logits) const;
    // The k most likely ids, most likely first, equal ones by id.
    void top(const float * logits, int32_t k, std::vector<int32_t> & ids) const;
    // The token at which the cumulative probability, in order of id, exceeds `draw`.
    int32_t sample(const float * logits, const position_reading & reading, double draw) const;

private:
    int64_t vocabulary_;
};

}  // namespace inward
