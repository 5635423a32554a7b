#include "check-microbatch.h"

#include <algorithm>
#include <cmath>

#include "inward/error.h"

namespace inward {

namespace {

std::string number(double v) {
    const std::string text = std::to_string(v);
    return text.substr(0, text.find_last_not_of("0.") + 1 == 0 ? 1 : text.size());
}

[[noreturn]] void shape(const std::string & what) { throw error("TRAIN_SHAPE", "a microbatch is malformed: " + what); }

}  // namespace

void check_options(const trainer_options & o) {
    auto refuse = [](const std::string & what) { throw error("TRAIN_SETTINGS", what); };
    if (o.threads < 1 || o.threads > 512) refuse("threads is " + std::to_string(o.threads) + "; it must be 1 to 512");
    if (o.rank < 1 || o.rank > 1 << 14) refuse("rank is " + std::to_string(o.rank) + "; it must be 1 to 16384");
    if (!(o.alpha > 0) || !std::isfinite(o.alpha)) refuse("alpha is " + number(o.alpha) + "; it must be above 0");
    if (!(o.dropout >= 0 && o.dropout < 1)) refuse("dropout is " + number(o.dropout) + "; it must be 0 to below 1");
    if (o.targets.empty()) refuse("targets is empty: nothing would be trained");
    for (const auto & target : o.targets) {
        static const char * const known[] = { "q", "k", "v", "o", "gate", "up", "down" };
        if (std::find(std::begin(known), std::end(known), target) == std::end(known)) refuse("there is no target \"" + target + "\"");
        if (std::count(o.targets.begin(), o.targets.end(), target) > 1) refuse("the target \"" + target + "\" stands twice");
    }
    if (o.max_microbatch_tokens < 1 || o.max_loss_rows < 1 || o.max_loss_rows > o.max_microbatch_tokens) {
        refuse("a microbatch of " + std::to_string(o.max_microbatch_tokens) + " tokens cannot have " + std::to_string(o.max_loss_rows) + " loss rows");
    }
}

void check_microbatch(const microbatch & b, const hyperparameters & hp, int64_t most_tokens, int64_t most_rows) {
    const int64_t tokens = (int64_t) b.token_ids.size(), rows = (int64_t) b.loss_rows.size(), segments = (int64_t) b.segment_starts.size();
    if (tokens < 1) shape("it has no tokens");
    if (tokens > most_tokens) shape("it has " + std::to_string(tokens) + " tokens, planned were " + std::to_string(most_tokens));
    if (rows < 1 || rows > most_rows) shape("it has " + std::to_string(rows) + " loss rows, planned were 1 to " + std::to_string(most_rows));
    if ((int64_t) b.positions.size() != tokens) shape("positions and tokens differ in number");
    if ((int64_t) b.segment_parents.size() != segments || segments < 1) shape("segments and parents differ in number");
    if ((int64_t) b.loss_targets.size() != rows || (int64_t) b.loss_weights.size() != rows) shape("loss rows, targets and weights differ in number");
    auto check_token = [&](int32_t id) {
        if (id < 0 || id >= hp.vocabulary) {
            throw error("TRAIN_EXAMPLE", "token id " + std::to_string(id) + " is not in the vocabulary of " + std::to_string(hp.vocabulary));
        }
    };
    for (auto id : b.token_ids) check_token(id);
    for (auto id : b.loss_targets) check_token(id);
    for (auto p : b.positions) {
        if (p < 0) shape("a position is negative");
        if (p >= hp.context) throw error("TRAIN_CONTEXT", "position " + std::to_string(p) + " is beyond the model's context of " + std::to_string(hp.context));
    }
    for (int64_t s = 0; s < segments; s++) {
        const int64_t begin = b.segment_starts[s], end = s + 1 < segments ? b.segment_starts[s + 1] : tokens;
        if ((s == 0 && begin != 0) || begin >= end || end > tokens) shape("segments do not follow each other");
        const int32_t parent = b.segment_parents[s];
        if (parent < -1 || parent >= s) shape("a segment's parent does not stand before it");
        const int32_t expected = parent < 0 ? 0 : b.positions[b.segment_starts[parent + 1] - 1] + 1;
        for (int64_t t = begin; t < end; t++) {
            if (b.positions[t] != expected + (t - begin)) shape("positions do not go on from the parent segment");
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        if (b.loss_rows[r] < 0 || b.loss_rows[r] >= tokens || (r > 0 && b.loss_rows[r] <= b.loss_rows[r - 1])) shape("loss rows do not ascend within the tokens");
        if (!std::isfinite(b.loss_weights[r])) shape("a loss weight is not finite");
    }
}

}  // namespace inward
