// Reads ggml's blocks, whose layouts are those of ggml-common.h, and writes panels.
#include "shared/panel-layout.h"

#include <cstring>

namespace inward {

namespace {

// One block of a row, taken apart.
struct loose_block {
    uint16_t d, m;
    uint8_t  scales[16], minima[16];  // nibbles: both in `minima`, as in the file
    uint8_t  quants[256];             // each all its bits
};

uint16_t half_at(const uint8_t * at) {
    uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return bits;
}

// The first half of the places in the bytes' low nibbles, the second in the high ones.
void take_nibbles(const uint8_t * from, int count, uint8_t * to) {
    for (int i = 0; i < count / 2; i++) {
        to[i]             = from[i] & 15;
        to[count / 2 + i] = from[i] >> 4;
    }
}

// A fifth bit for each of 32 places.
void add_fifth_bits(const uint8_t * from, uint8_t * to) {
    for (int i = 0; i < 32; i++) to[i] |= (from[i / 8] >> i % 8 & 1) << 4;
}

// Blocks of 32: halves, fifth bits, numbers.
void take_small(ggml_type type, const panel_layout & layout, const uint8_t * at, loose_block & to) {
    to.d = half_at(at);
    at += 2;
    if (layout.minima) {
        to.m = half_at(at);
        at += 2;
    }
    if (type == GGML_TYPE_Q8_0) {
        std::memcpy(to.quants, at, 32);
        return;
    }
    take_nibbles(at + (layout.high > 0 ? 4 : 0), 32, to.quants);
    if (layout.high > 0) add_fifth_bits(at, to.quants);
}

// The six-bit scales and minima of Q4_K and Q5_K: the first four lie whole, the others are split between two bytes.
void take_six_bits(const uint8_t * at, loose_block & to) {
    for (int i = 0; i < 4; i++) {
        to.scales[i]     = at[i] & 63;
        to.minima[i]     = at[4 + i] & 63;
        to.scales[4 + i] = (at[8 + i] & 15) | at[i] >> 6 << 4;
        to.minima[4 + i] = at[8 + i] >> 4 | at[4 + i] >> 6 << 4;
    }
}

void take_q2_k(const uint8_t * at, loose_block & to) {
    to.d = half_at(at + 80);
    to.m = half_at(at + 82);
    std::memcpy(to.minima, at, 16);
    for (int i = 0; i < 256; i++) to.quants[i] = at[16 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
}

void take_q3_k(const uint8_t * at, loose_block & to) {
    to.d = half_at(at + 108);
    for (int s = 0; s < 16; s++) {
        const int low = at[96 + s % 8] >> (s < 8 ? 0 : 4) & 15, high = at[104 + s % 4] >> s / 4 * 2 & 3;
        to.scales[s]  = (uint8_t) ((low | high << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        to.quants[i] = (at[32 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) | (at[i % 32] >> i / 32 & 1) << 2;
    }
}

void take_q4_k(ggml_type type, const uint8_t * at, loose_block & to) {
    const bool      five   = type == GGML_TYPE_Q5_K;
    const uint8_t * quants = at + (five ? 48 : 16);
    to.d = half_at(at);
    to.m = half_at(at + 2);
    take_six_bits(at + 4, to);
    for (int i = 0; i < 256; i += 64) take_nibbles(quants + i / 2, 64, to.quants + i);
    for (int i = 0; five && i < 256; i++) to.quants[i] |= (at[16 + i % 32] >> i / 32 & 1) << 4;
}

void take_q6_k(const uint8_t * at, loose_block & to) {
    to.d = half_at(at + 208);
    std::memcpy(to.scales, at + 192, 16);
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, part = i / 32 % 4;
        const int low  = at[64 * half + i % 64] >> (part < 2 ? 0 : 4) & 15;
        const int high = at[128 + 32 * half + i % 32] >> 2 * part & 3;
        to.quants[i]   = (uint8_t) (low | high << 4);
    }
}

void take_iq4_xs(const uint8_t * at, loose_block & to) {
    const uint16_t high = half_at(at + 2);
    to.d = half_at(at);
    for (int s = 0; s < 8; s++) {
        const int low = at[4 + s / 2] >> 4 * (s % 2) & 15;
        to.scales[s]  = (uint8_t) ((low | (high >> 2 * s & 3) << 4) - 32);
        take_nibbles(at + 8 + 16 * s, 32, to.quants + 32 * s);
    }
}

void take_apart(ggml_type type, const panel_layout & layout, const uint8_t * at, loose_block & to) {
    switch (type) {
        case GGML_TYPE_Q2_K: return take_q2_k(at, to);
        case GGML_TYPE_Q3_K: return take_q3_k(at, to);
        case GGML_TYPE_Q4_K:
        case GGML_TYPE_Q5_K: return take_q4_k(type, at, to);
        case GGML_TYPE_Q6_K: return take_q6_k(at, to);
        case GGML_TYPE_IQ4_XS: return take_iq4_xs(at, to);
        default: return take_small(type, layout, at, to);
    }
}

// `bits` of each number from bit `from` on, of as many places as a byte has room for.
void put_plane(const uint8_t * quants, int count, int from, int bits, uint8_t * to) {
    const int each = 8 / bits, mask = (1 << bits) - 1;
    for (int i = 0; i < count; i += each, to += PANEL) {
        int byte = 0;
        for (int j = 0; j < each; j++) byte |= (quants[i + j] >> from & mask) << j * bits;
        *to = (uint8_t) byte;
    }
}

void put_block(const loose_block & from, const panel_layout & layout, uint8_t * group, int64_t lane) {
    std::memcpy(group + 2 * lane, &from.d, 2);
    if (layout.minima) std::memcpy(group + 2 * PANEL + 2 * lane, &from.m, 2);
    const int subs = layout.group / layout.sub;
    for (int s = 0; s < subs; s++) {
        if (layout.scales == scale_kind::bytes) group[layout.scales_at() + s * PANEL + lane] = from.scales[s];
        if (layout.scales == scale_kind::nibbles || (layout.scales == scale_kind::bytes && layout.minima)) {
            group[layout.minima_at() + s * PANEL + lane] = from.minima[s];
        }
        uint8_t *       planes = group + layout.planes_at() + s * layout.sub_bytes() + lane;
        const uint8_t * quants = from.quants + s * layout.sub;
        put_plane(quants, layout.sub, 0, layout.low, planes);
        if (layout.high > 0) put_plane(quants, layout.sub, layout.low, layout.high, planes + layout.low_bytes());
    }
}

}  // namespace

void put_in_panel(ggml_type type, const void * row, int64_t in, uint8_t * panel, int64_t lane) {
    const panel_layout layout = layout_of(type);
    const auto *       at     = (const uint8_t *) row;
    if (layout.group == 1) {
        const size_t width = ggml_type_size(type);
        for (int64_t i = 0; i < in; i++) std::memcpy(panel + (i * PANEL + lane) * width, at + i * width, width);
        return;
    }
    loose_block block;
    for (int64_t i = 0; i < in; i += layout.group, at += ggml_type_size(type), panel += layout.bytes()) {
        take_apart(type, layout, at, block);
        put_block(block, layout, panel, lane);
    }
}

}  // namespace inward
