#include "train/fit-memory.h"

#include <algorithm>

#include "inward/error.h"

namespace inward {

namespace {

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// What a training may be changed in so that it needs less.
struct attempt {
    bool    checkpointing;
    int64_t tokens, rows, stay;
};

struct fitter {
    const trainer_options & options;
    base_model &            model;
    const devices &         where;
    weight_store &          weights;
    const constants_by_device & constants;

    std::unique_ptr<arrangement> arrange(const std::vector<device_room> & rooms, int64_t stay) const {
        return std::make_unique<arrangement>(options, model, where, weights, constants, place_layers(model, rooms, stay));
    }

    // What each device can give to layers beside everything else.
    std::vector<device_room> rooms_beside(const memory_plan & plan, const placement & places) const {
        std::vector<device_room> rooms;
        for (size_t d = 0; d < where.all.size(); d++) {
            const auto & one   = plan.devices[d];
            uint64_t     stay = 0, slot = 0;
            for (size_t l = 0; l < places.layers.size(); l++) {
                if (places.layers[l].device != (int) d) continue;
                const uint64_t bytes = bytes_of(model.layers[l]);
                if (places.layers[l].streamed) slot = std::max(slot, bytes);
                else stay += bytes;
            }
            const uint64_t fixed = one.needed() - std::min(one.needed(), stay + STREAM_SLOTS * slot);
            rooms.push_back({ one.available > fixed ? one.available - fixed : 0, where.all[d].is_cpu });
        }
        return rooms;
    }

    // The best placement for this attempt, whether it fits or not.
    std::unique_ptr<arrangement> fit(const attempt & a, memory_plan & plan) const {
        std::vector<device_room> rooms;
        for (const auto & one : where.all) {
            rooms.push_back({ options.memory_limit ? options.memory_limit : one.free_memory(), one.is_cpu });
        }
        const int64_t layers = (int64_t) model.layers.size();
        auto          made   = arrange(rooms, a.stay < 0 ? layers : a.stay);
        plan                 = made->plan(a.checkpointing, a.tokens, a.rows);
        // With other places other devices compute more: the second time is nearly always right.
        for (int round = 0; round < 3 && !plan.fits() && can_change(a); round++) {
            const auto beside = rooms_beside(plan, made->places);
            made.reset();
            made = arrange(beside, a.stay);
            plan = made->plan(a.checkpointing, a.tokens, a.rows);
        }
        return made;
    }

    // A CPU alone has no other memory to keep weights in.
    bool can_change(const attempt & a) const { return !where.is_cpu && (a.stay < 0 || where.all.size() > 1); }

    [[noreturn]] void refuse(const attempt & a, const memory_plan & plan) const {
        std::string text;
        for (const auto & one : plan.short_of()) text += (text.empty() ? "" : "; ") + one;
        text = "training does not fit: " + text;
        const auto help = remedies(a);
        throw error("TRAIN_MEMORY", text + (help.empty() ? "" : ". It would need" + help));
    }

    std::string remedies(const attempt & a) const {
        std::string text;
        auto        tell = [&](const std::string & what, attempt changed) {
            memory_plan plan;
            fit(changed, plan);
            text += (text.empty() ? " " : "; ") + mib(plan.largest()) + " with " + what + (plan.fits() ? " (fits)" : "");
            return plan.fits();
        };
        attempt both = a;
        if (!a.checkpointing) {
            both.checkpointing = true;
            if (tell("activationCheckpointing", both)) return text;
        }
        if (a.stay > 0 && !where.is_cpu) {
            attempt streamed = both;
            streamed.stay    = -1;
            if (tell(std::string("gpuLayers auto") + (a.checkpointing ? "" : " too"), streamed)) return text;
            both = streamed;
        }
        for (int64_t tokens = a.tokens / 2; tokens >= 32; tokens /= 2) {
            both.tokens = tokens;
            both.rows   = std::min(a.rows, tokens);
            memory_plan plan;
            fit(both, plan);
            if (!plan.fits() && tokens >= 64) continue;
            const bool alone = both.checkpointing == a.checkpointing && both.stay == a.stay;
            tell("microbatchTokens " + std::to_string(tokens) + (alone ? "" : " too"), both);
            break;
        }
        return text;
    }
};

}  // namespace

std::unique_ptr<arrangement> fit_memory(const trainer_options & o, base_model & model, const devices & where,
                                        weight_store & weights, const constants_by_device & constants,
                                        memory_plan & plan) {
    const fitter  fitting{ o, model, where, weights, constants };
    const attempt asked{ o.activation_checkpointing, o.max_microbatch_tokens, o.max_loss_rows, o.device_layers };
    auto          made = fitting.fit(asked, plan);
    if (!plan.fits()) {
        made.reset();
        fitting.refuse(asked, plan);
    }
    return made;
}

}  // namespace inward
