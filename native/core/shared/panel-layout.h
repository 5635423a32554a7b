// How the weights of a panel, PANEL outputs of a matrix, lie in memory: as many bits as in the file, put so that those of
// all outputs at one place of the sum stand side by side.
#pragma once
#include <cstdint>

#include "ggml.h"

namespace inward {

// Columns that stand side by side in memory.
constexpr int64_t PANEL = 16;

// What a sub-block's scale is made of: the block's half alone, or that times a small number of the sub-block's own, which
// takes a byte, or shares one with the minimum's.
enum class scale_kind { block, bytes, nibbles };

// A block of `group` places, for all outputs: its halves d and, with minima, m; the sub-blocks' scales and minima; then
// for each sub-block the lower bits of all weights and, in a plane of their own, those above. A byte has the bits of one
// output at as many places as it has room for, the first place lowest.
struct panel_layout {
    int        group;      // 1: floats
    int        sub;        // places that share a scale
    int        low, high;  // bits of a weight in the two planes; with 8 lower ones they are signed
    int        offset;     // taken from a weight's number
    bool       minima;
    scale_kind scales;
    bool       table;      // the number names one of IQ4_VALUES

    constexpr int64_t scales_at() const { return (minima ? 2 : 1) * 2 * PANEL; }
    constexpr int64_t minima_at() const { return scales_at() + (scales == scale_kind::bytes ? group / sub * PANEL : 0); }
    constexpr int64_t planes_at() const {
        if (scales == scale_kind::block) return scales_at();
        return minima_at() + (scales == scale_kind::nibbles || minima ? group / sub * PANEL : 0);
    }
    constexpr int64_t low_bytes() const { return sub * low / 8 * PANEL; }
    constexpr int64_t sub_bytes() const { return sub * (low + high) / 8 * PANEL; }
    // Of one group of a panel.
    constexpr int64_t bytes() const { return group == 1 ? low / 8 * PANEL : planes_at() + group / sub * sub_bytes(); }
};

// group 0: weights of this type are not taken.
constexpr panel_layout layout_of(ggml_type type) {
    constexpr auto block = scale_kind::block, bytes = scale_kind::bytes;
    switch (type) {
        case GGML_TYPE_F32: return { 1, 1, 32, 0, 0, false, block, false };
        case GGML_TYPE_F16:
        case GGML_TYPE_BF16: return { 1, 1, 16, 0, 0, false, block, false };
        case GGML_TYPE_Q8_0: return { 32, 32, 8, 0, 0, false, block, false };
        case GGML_TYPE_Q4_0: return { 32, 32, 4, 0, 8, false, block, false };
        case GGML_TYPE_Q4_1: return { 32, 32, 4, 0, 0, true, block, false };
        case GGML_TYPE_Q5_0: return { 32, 32, 4, 1, 16, false, block, false };
        case GGML_TYPE_Q5_1: return { 32, 32, 4, 1, 0, true, block, false };
        case GGML_TYPE_Q2_K: return { 256, 16, 2, 0, 0, true, scale_kind::nibbles, false };
        case GGML_TYPE_Q3_K: return { 256, 16, 2, 1, 4, false, bytes, false };
        case GGML_TYPE_Q4_K: return { 256, 32, 4, 0, 0, true, bytes, false };
        case GGML_TYPE_Q5_K: return { 256, 32, 4, 1, 0, true, bytes, false };
        case GGML_TYPE_Q6_K: return { 256, 16, 4, 2, 32, false, bytes, false };
        case GGML_TYPE_IQ4_NL: return { 32, 32, 4, 0, 0, false, block, true };
        case GGML_TYPE_IQ4_XS: return { 256, 32, 4, 0, 0, false, bytes, true };
        default: return { 0, 0, 0, 0, 0, false, block, false };
    }
}

constexpr float IQ4_VALUES[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

// Puts `count` rows of the file, PANEL at most, each `in` weights of whole blocks, into a panel; its other outputs are
// filled with zeros.
void put_panel(ggml_type type, const void * rows, int64_t count, int64_t in, uint8_t * panel);

}  // namespace inward
