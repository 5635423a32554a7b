// A base and its adapter laid over the devices: what graphs are made of, where their nodes run, and what that takes.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shared/devices.h"
#include "train/graph.h"

namespace inward {

class arrangement {
public:
    // Plans only: neither weights nor parameters have memory.
    // throws inward::error TRAIN_SETTINGS
    arrangement(const trainer_options & options, base_model & model, const devices & where, weight_store & weights,
                const constants_by_device & constants, const placement & places);
    ~arrangement();
    arrangement(const arrangement &) = delete;

    const placement    places;
    adapter            lora;
    projection_group   output;
    workspace          work;
    model_parts        parts;
    graph_maker        maker;

    // A graph whose nodes are placed, ready to be allocated.
    std::unique_ptr<model_graph> make(const graph_settings & settings, int64_t tokens, int64_t rows) const;
    ggml_backend_sched_t         scheduler() const { return scheduler_; }

    // What a largest microbatch of that size takes, and what there is.
    memory_plan plan(bool checkpointing, int64_t tokens, int64_t rows) const;
    // Operations that a layer's device cannot do and the CPU does instead, with their number.
    std::map<std::string, int> fallbacks(const graph_settings & settings, int64_t tokens, int64_t rows) const;
    void reserve_workspace();

private:
    const trainer_options & options_;
    const devices &         devices_;
    weight_store &          weights_;
    const base_model &      model_;
    ggml_backend_sched_t    scheduler_ = nullptr;
    std::vector<int>        backend_of_;  // [devices] its number among the scheduler's
    int                     backends_ = 0;

    void     place(const model_graph & graph) const;
    int64_t  scratch_floats() const;
    uint64_t copies_bytes(int device, int64_t tokens) const;
    std::vector<uint64_t> compute_bytes(const graph_settings & settings, int64_t tokens, int64_t rows) const;
};

}  // namespace inward
