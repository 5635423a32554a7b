// What reads panels whose weights lie as in the file. Included by product-kernels.cpp, which says for which processors.
#pragma once
#include "shared/panel-layout.h"
#include "shared/vectors.h"

namespace inward {

// One type's weights as floats, a register's lanes at a time: bit for bit what ggml makes of them. Every product here is
// exact in single precision, so that it does not matter whether the sum after it is fused.
template <typename WIDTH, ggml_type TYPE> struct panel_reader {
    static constexpr panel_layout LAYOUT = layout_of(TYPE);
    static constexpr int          LANES  = WIDTH::LANES;
    typedef typename WIDTH::vector vector;
    typedef typename WIDTH::ints   ints;

    struct scales {
        vector scale, minimum;
    };

    // Of `lane` and those beside it.
    static INWARD_INLINE scales read_scales(const uint8_t * group, int64_t sub, int lane) {
        scales s{ WIDTH::halves(group + 2 * lane), vector{} };
        if constexpr (LAYOUT.minima) s.minimum = WIDTH::halves(group + 2 * PANEL + 2 * lane);
        if constexpr (LAYOUT.scales == scale_kind::bytes) {
            s.scale = s.scale * WIDTH::floats(WIDTH::signed_bytes(group + LAYOUT.scales_at() + sub * PANEL + lane));
            if constexpr (LAYOUT.minima) {
                s.minimum = s.minimum * WIDTH::floats(WIDTH::bytes(group + LAYOUT.minima_at() + sub * PANEL + lane));
            }
        }
        if constexpr (LAYOUT.scales == scale_kind::nibbles) {
            const ints both = WIDTH::bytes(group + LAYOUT.minima_at() + sub * PANEL + lane);
            s.scale   = s.scale * WIDTH::floats(both & 15);
            s.minimum = s.minimum * WIDTH::floats(both >> 4);
        }
        return s;
    }

    // At place `unit` * 8 + i of the sub-block whose planes these are; i is known to the compiler.
    static INWARD_INLINE vector weight(const uint8_t * planes, int64_t unit, int i, int lane, const scales & s) {
        ints number;
        if constexpr (LAYOUT.low == 8) {
            number = WIDTH::signed_bytes(planes + (unit * 8 + i) * PANEL + lane);
        } else {
            constexpr int each = 8 / LAYOUT.low, mask = (1 << LAYOUT.low) - 1;
            const ints    row  = WIDTH::bytes(planes + (unit * LAYOUT.low + i / each) * PANEL + lane);
            const ints    from = row >> i % each * LAYOUT.low;
            number             = i % each == each - 1 || LAYOUT.table ? from : from & mask;
        }
        if constexpr (LAYOUT.high > 0) {
            constexpr int each = 8 / LAYOUT.high, mask = ((1 << LAYOUT.high) - 1) << LAYOUT.low;
            const ints    row  = WIDTH::bytes(planes + LAYOUT.low_bytes() + (unit * LAYOUT.high + i / each) * PANEL + lane);
            const int     up   = LAYOUT.low - i % each * LAYOUT.high;
            number             = number | ((up >= 0 ? row << (up >= 0 ? up : 0) : row >> (up < 0 ? -up : 0)) & mask);
        }
        if constexpr (LAYOUT.offset > 0) number = number - LAYOUT.offset;
        vector value;
        if constexpr (LAYOUT.table) value = WIDTH::looked_up(IQ4_VALUES, number);
        else value = WIDTH::floats(number);
        if constexpr (!LAYOUT.minima) return value * s.scale;
        else if constexpr (LAYOUT.scales == scale_kind::block) return value * s.scale + s.minimum;
        else return value * s.scale - s.minimum;
    }

    // Of a type that is a float itself, at one place.
    static INWARD_INLINE vector whole(const uint8_t * at, int lane) {
        if constexpr (TYPE == GGML_TYPE_F32) return *(const vector *) ((const float *) at + lane);
        else if constexpr (TYPE == GGML_TYPE_F16) return WIDTH::halves(at + 2 * lane);
        else return WIDTH::as_floats(WIDTH::as_words(WIDTH::shorts(at + 2 * lane)) << 16);
    }
};

// `k` places of one panel, from the beginning of a block, as [k][PANEL] floats.
template <typename WIDTH, ggml_type TYPE>
INWARD_INLINE void decode_panel(const uint8_t * from, int64_t k, float * to) {
    typedef panel_reader<WIDTH, TYPE> reader;
    typedef typename WIDTH::vector    vector;
    constexpr panel_layout            LAYOUT = reader::LAYOUT;
    if constexpr (LAYOUT.group == 1) {
        for (int64_t i = 0; i < k; i++, from += LAYOUT.bytes(), to += PANEL) {
            for (int lane = 0; lane < PANEL; lane += WIDTH::LANES) *(vector *) (to + lane) = reader::whole(from, lane);
        }
    } else {
        for (; k > 0; k -= LAYOUT.group, from += LAYOUT.bytes()) {
            const uint8_t * planes = from + LAYOUT.planes_at();
            for (int64_t sub = 0; sub < LAYOUT.group / LAYOUT.sub; sub++, planes += LAYOUT.sub_bytes()) {
                for (int lane = 0; lane < PANEL; lane += WIDTH::LANES) {
                    const auto scales = reader::read_scales(from, sub, lane);
                    for (int64_t unit = 0; unit < LAYOUT.sub / 8; unit++) {
                        INWARD_UNROLL
                        for (int i = 0; i < 8; i++) {
                            vector * at = (vector *) (to + (unit * 8 + i) * PANEL + lane);
                            *at         = reader::weight(planes, unit, i, lane, scales);
                        }
                    }
                }
                to += LAYOUT.sub * PANEL;
            }
        }
    }
}

// Panels are too short for processors to see what comes next; what is fetched stays out of the smallest cache.
INWARD_INLINE void fetch_ahead(const uint8_t * at, int64_t bytes) {
#if defined(__GNUC__)
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
#else
    (void) at, (void) bytes;
#endif
}

// C [rows x PANELS panels] += X W as in products.h, for rows so few that decoded weights are not worth keeping. Enough
// panels at once for one sum not to wait for another.
template <typename WIDTH, ggml_type TYPE, int ROWS, int PANELS>
INWARD_INLINE void few_rows(const float * x, const uint8_t * w, int64_t k, int64_t panel_bytes, float * c, int64_t ldc,
                            bool add) {
    typedef panel_reader<WIDTH, TYPE> reader;
    typedef typename WIDTH::vector    vector;
    constexpr panel_layout            LAYOUT = reader::LAYOUT;
    constexpr int                     LANES = WIDTH::LANES, PARTS = (int) PANEL / LANES, ALL = PANELS * PARTS;
    vector                            sums[ALL][ROWS];
    INWARD_UNROLL
    for (int p = 0; p < ALL; p++) {
        INWARD_UNROLL
        for (int r = 0; r < ROWS; r++) sums[p][r] = vector{};
    }
    if constexpr (LAYOUT.group == 1) {
        for (int64_t i = 0; i < k; i++, w += LAYOUT.bytes(), x += ROWS) {
            if (TYPE != GGML_TYPE_F32 && i % 2 == 0) {
                for (int p = 0; p < PANELS; p++) fetch_ahead(w + (PANELS + p) * panel_bytes, 1);
            }
            for (int p = 0; p < ALL; p++) {
                const vector weight = reader::whole(w + p / PARTS * panel_bytes, p % PARTS * LANES);
                for (int r = 0; r < ROWS; r++) sums[p][r] += weight * x[r];
            }
        }
    } else {
        for (; k > 0; k -= LAYOUT.group, w += LAYOUT.bytes()) {
            const uint8_t * planes = w + LAYOUT.planes_at();
            for (int64_t sub = 0; sub < LAYOUT.group / LAYOUT.sub; sub++, planes += LAYOUT.sub_bytes()) {
                for (int p = 0; p < PANELS; p++) {
                    const int64_t all = LAYOUT.bytes() / (LAYOUT.group / LAYOUT.sub);
                    fetch_ahead(w + (PANELS + p) * panel_bytes + sub * all, all);
                }
                typename reader::scales scales[ALL];
                for (int p = 0; p < ALL; p++) {
                    scales[p] = reader::read_scales(w + p / PARTS * panel_bytes, sub, p % PARTS * LANES);
                }
                for (int64_t unit = 0; unit < LAYOUT.sub / 8; unit++, x += 8 * ROWS) {
                    INWARD_UNROLL
                    for (int i = 0; i < 8; i++) {
                        for (int p = 0; p < ALL; p++) {
                            const vector weight = reader::weight(planes + p / PARTS * panel_bytes, unit, i,
                                                                 p % PARTS * LANES, scales[p]);
                            for (int r = 0; r < ROWS; r++) sums[p][r] += weight * x[i * ROWS + r];
                        }
                    }
                }
            }
        }
    }
    INWARD_UNROLL
    for (int p = 0; p < ALL; p++) {
        INWARD_UNROLL
        for (int r = 0; r < ROWS; r++) {
            vector * to = (vector *) (c + r * ldc + p * LANES);
            if (add) sums[p][r] += *to;
            *to = sums[p][r];
        }
    }
}

}  // namespace inward
