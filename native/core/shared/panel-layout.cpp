// Reads ggml's blocks, whose layouts are those of ggml-common.h, and writes panels.
#include "shared/panel-layout.h"

#include <algorithm>
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

// BITS of each number from bit `from` on, of as many places as a byte has room for.
template <int BITS> void join_bits(const uint8_t * quants, int count, int from, uint8_t * to) {
    constexpr int EACH = 8 / BITS, MASK = (1 << BITS) - 1;
    for (int i = 0; i < count / EACH; i++) {
        int byte = 0;
        for (int j = 0; j < EACH; j++) byte |= (quants[i * EACH + j] >> from & MASK) << j * BITS;
        to[i] = (uint8_t) byte;
    }
}

void join_bits(int bits, const uint8_t * quants, int count, int from, uint8_t * to) {
    switch (bits) {
        case 1: return join_bits<1>(quants, count, from, to);
        case 2: return join_bits<2>(quants, count, from, to);
        case 4: return join_bits<4>(quants, count, from, to);
        default: std::memcpy(to, quants, count);
    }
}

// Eight rows of eight bytes become columns: byte c of rows[r] and byte r of rows[c] change places.
void turn(uint64_t * rows) {
    const auto swap = [&](int apart, int bits, uint64_t mask) {
        for (int r = 0; r < 8; r++) {
            if (r & apart) continue;
            const uint64_t moved = (rows[r] >> bits ^ rows[r + apart]) & mask;
            rows[r + apart] ^= moved;
            rows[r] ^= moved << bits;
        }
    };
    swap(4, 32, 0x00000000ffffffff);
    swap(2, 16, 0x0000ffff0000ffff);
    swap(1, 8, 0x00ff00ff00ff00ff);
}

constexpr int MOST_PLACES = 256;

// One plane of a block, of every output its own bytes, to where those of all outputs stand side by side.
void put_plane(const uint8_t (*joined)[MOST_PLACES], int count, int of_sub, int64_t sub_bytes, uint8_t * to) {
    for (int begin = 0; begin < count; begin += 8) {
        for (int half = 0; half < PANEL; half += 8) {
            uint64_t rows[8];
            for (int r = 0; r < 8; r++) std::memcpy(rows + r, joined[half + r] + begin, 8);
            turn(rows);
            for (int c = 0; c < 8 && begin + c < count; c++) {
                const int place = begin + c;
                std::memcpy(to + place / of_sub * sub_bytes + place % of_sub * PANEL + half, rows + c, 8);
            }
        }
    }
}

// A block of each output.
struct panel_blocks {
    loose_block loose[PANEL];
    uint8_t     joined[PANEL][MOST_PLACES];

    void put(const panel_layout & layout, uint8_t * group) {
        const int subs = layout.group / layout.sub;
        for (int lane = 0; lane < PANEL; lane++) {
            const auto & from = loose[lane];
            std::memcpy(group + 2 * lane, &from.d, 2);
            if (layout.minima) std::memcpy(group + 2 * PANEL + 2 * lane, &from.m, 2);
            if (layout.scales == scale_kind::block) continue;
            const bool whole = layout.scales == scale_kind::bytes;
            for (int s = 0; s < subs; s++) {
                if (whole) group[layout.scales_at() + s * PANEL + lane] = from.scales[s];
                if (!whole || layout.minima) group[layout.minima_at() + s * PANEL + lane] = from.minima[s];
            }
        }
        uint8_t * planes = group + layout.planes_at();
        put_planes(layout.low, 0, layout, planes);
        if (layout.high > 0) put_planes(layout.high, layout.low, layout, planes + layout.low_bytes());
    }

private:
    void put_planes(int bits, int from, const panel_layout & layout, uint8_t * to) {
        for (int lane = 0; lane < PANEL; lane++) {
            join_bits(bits, loose[lane].quants, layout.group, from, joined[lane]);
        }
        put_plane(joined, layout.group * bits / 8, layout.sub * bits / 8, layout.sub_bytes(), to);
    }
};

// Of a type that is a float itself: WORD has its bits.
template <typename WORD> void put_floats(const uint8_t * rows, int64_t count, int64_t in, uint8_t * panel) {
    // So many columns of all rows stay in the smallest cache.
    constexpr int64_t AT_ONCE = 64;
    for (int64_t begin = 0; begin < in; begin += AT_ONCE) {
        const int64_t columns = std::min(AT_ONCE, in - begin);
        WORD          turned[AT_ONCE * PANEL] = {};
        for (int64_t lane = 0; lane < count; lane++) {
            WORD row[AT_ONCE];
            std::memcpy(row, rows + (lane * in + begin) * sizeof(WORD), columns * sizeof(WORD));
            for (int64_t i = 0; i < columns; i++) turned[i * PANEL + lane] = row[i];
        }
        std::memcpy(panel + begin * PANEL * sizeof(WORD), turned, columns * PANEL * sizeof(WORD));
    }
}

}  // namespace

void put_panel(ggml_type type, const void * rows, int64_t count, int64_t in, uint8_t * panel) {
    const panel_layout layout = layout_of(type);
    const auto *       at     = (const uint8_t *) rows;
    if (layout.group == 1) {
        return layout.low == 32 ? put_floats<uint32_t>(at, count, in, panel) : put_floats<uint16_t>(at, count, in, panel);
    }
    const int64_t block = ggml_type_size(type), width = in / layout.group * block;
    panel_blocks  blocks{};
    for (int64_t i = 0; i < in / layout.group; i++, panel += layout.bytes()) {
        for (int64_t lane = 0; lane < count; lane++) {
            take_apart(type, layout, at + lane * width + i * block, blocks.loose[lane]);
        }
        blocks.put(layout, panel);
    }
}

}  // namespace inward
