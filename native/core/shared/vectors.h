// Vectors of floats and of whole numbers as wide as one register of each instruction set has: a wider one would live in
// memory. They only travel between functions that are inlined into each other, whose own target then says what they
// become; for compilers without such vectors there are plain loops.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
// Makes the names of instructions known that functions with a target of their own may use.
#    include <immintrin.h>
#    define INWARD_GCC_X86 1
#endif

#include "shared/vector-loops.h"

#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic ignored "-Wpsabi"
#    define INWARD_UNROLL _Pragma("GCC unroll 16")
#elif defined(__clang__)
#    define INWARD_UNROLL _Pragma("unroll")
#else
#    define INWARD_UNROLL
#endif

namespace inward {

#if defined(__GNUC__)

#    define INWARD_VECTOR(name, element, lanes) \
        typedef element name __attribute__((vector_size(lanes * sizeof(element)), aligned(sizeof(element)), may_alias))

// bytes, signed_bytes, shorts: as many numbers from memory, each in a lane of its own.
// looked_up: of 16 floats those that the lowest 4 bits of each lane name.
#    define INWARD_VECTORS(lanes)                \
        static constexpr int LANES = lanes;      \
        INWARD_VECTOR(vector, float, lanes);     \
        INWARD_VECTOR(ints, int32_t, lanes);     \
        INWARD_VECTOR(words, uint32_t, lanes);   \
        INWARD_VECTOR(few_bytes, uint8_t, lanes); \
        INWARD_VECTOR(few_signed, int8_t, lanes); \
        INWARD_VECTOR(few_shorts, uint16_t, lanes); \
        static INWARD_INLINE vector floats(const ints & from) { return __builtin_convertvector(from, vector); } \
        static INWARD_INLINE vector as_floats(const words & bits) { return (vector) bits; } \
        static INWARD_INLINE words as_words(const ints & from) { return (words) from; }

#    define INWARD_LOADS_BY_CONVERSION                                                                             \
        static INWARD_INLINE ints bytes(const void * at) { return convert<few_bytes>(at); }                       \
        static INWARD_INLINE ints signed_bytes(const void * at) { return convert<few_signed>(at); }               \
        static INWARD_INLINE ints shorts(const void * at) { return convert<few_shorts>(at); }                     \
        template <typename FROM> static INWARD_INLINE ints convert(const void * at) {                             \
            return __builtin_convertvector(*(const FROM *) at, ints);                                             \
        }

#    define INWARD_LOADS_LANE_BY_LANE                                                                              \
        static INWARD_INLINE ints bytes(const void * at) { return convert((const uint8_t *) at); }                \
        static INWARD_INLINE ints signed_bytes(const void * at) { return convert((const int8_t *) at); }          \
        static INWARD_INLINE ints shorts(const void * at) { return convert((const uint16_t *) at); }              \
        template <typename FROM> static INWARD_INLINE ints convert(const FROM * at) {                             \
            ints made{};                                                                                           \
            for (int i = 0; i < LANES; i++) made[i] = at[i];                                                      \
            return made;                                                                                           \
        }

#    define INWARD_LOOK_UP_LANE_BY_LANE                                                   \
        static INWARD_INLINE vector looked_up(const float * table, const ints & index) { \
            vector made{};                                                                \
            for (int i = 0; i < LANES; i++) made[i] = table[index[i] & 15];              \
            return made;                                                                  \
        }

// Halves by arithmetic that every processor has. Multiplied by 2^112 a half's exponent and mantissa, moved to a float's
// places, are the half; infinities and what is no number are told by an exponent of all ones.
#    define INWARD_HALVES_BY_ARITHMETIC                                                              \
        static INWARD_INLINE vector halves(const void * at) {                                        \
            const words  bits = (words) shorts(at);                                                  \
            const words  size = (bits & 0x7fff) << 13;                                               \
            const words  past = (words) (size >= 0x0f800000) & 0x7f800000;                           \
            const vector made = (vector) size * 0x1p112f;                                            \
            return (vector) ((words) made | past | (bits & 0x8000) << 16);                           \
        }

#    ifdef INWARD_GCC_X86
struct sixteen {
    INWARD_VECTORS(16)
    typedef char  char_bytes __attribute__((vector_size(16)));
    typedef short short_words __attribute__((vector_size(32)));
    typedef int   int_lanes __attribute__((vector_size(64)));
    typedef float float_lanes __attribute__((vector_size(64)));
    static INWARD_INLINE ints bytes(const void * at) {
        char_bytes from;
        std::memcpy(&from, at, sizeof from);
        return (ints) __builtin_ia32_pmovzxbd512_mask(from, int_lanes{}, (unsigned short) -1);
    }
    static INWARD_INLINE ints signed_bytes(const void * at) {
        char_bytes from;
        std::memcpy(&from, at, sizeof from);
        return (ints) __builtin_ia32_pmovsxbd512_mask(from, int_lanes{}, (unsigned short) -1);
    }
    static INWARD_INLINE ints shorts(const void * at) {
        short_words from;
        std::memcpy(&from, at, sizeof from);
        return (ints) __builtin_ia32_pmovzxwd512_mask(from, int_lanes{}, (unsigned short) -1);
    }
    static INWARD_INLINE vector halves(const void * at) {
        short_words from;
        std::memcpy(&from, at, sizeof from);
        return (vector) __builtin_ia32_vcvtph2ps512_mask(from, float_lanes{}, (unsigned short) -1, 4);
    }
    static INWARD_INLINE vector looked_up(const float * table, const ints & index) {
        float_lanes from;
        std::memcpy(&from, table, sizeof from);
        return (vector) __builtin_shuffle(from, (int_lanes) index);
    }
};
struct eight {
    INWARD_VECTORS(8)
    typedef char      char_bytes __attribute__((vector_size(16)));
    typedef long long two_longs __attribute__((vector_size(16)));
    typedef short     short_words __attribute__((vector_size(16)));
    typedef int       int_lanes __attribute__((vector_size(32)));
    typedef float     float_lanes __attribute__((vector_size(32)));
    static INWARD_INLINE char_bytes eight_bytes(const void * at) {
        long long from;
        std::memcpy(&from, at, sizeof from);
        return (char_bytes) two_longs{ from, 0 };
    }
    static INWARD_INLINE ints bytes(const void * at) { return (ints) __builtin_ia32_pmovzxbd256(eight_bytes(at)); }
    static INWARD_INLINE ints signed_bytes(const void * at) {
        return (ints) __builtin_ia32_pmovsxbd256(eight_bytes(at));
    }
    static INWARD_INLINE ints shorts(const void * at) {
        short_words from;
        std::memcpy(&from, at, sizeof from);
        return (ints) __builtin_ia32_pmovzxwd256(from);
    }
    static INWARD_INLINE vector halves(const void * at) {
        short_words from;
        std::memcpy(&from, at, sizeof from);
        return (vector) __builtin_ia32_vcvtph2ps256(from);
    }
    static INWARD_INLINE vector looked_up(const float * table, const ints & index) {
        float_lanes low, high;
        std::memcpy(&low, table, sizeof low);
        std::memcpy(&high, table + 8, sizeof high);
        return (vector) __builtin_shuffle(low, high, (int_lanes) index);
    }
};
#    elif defined(__clang__)
struct sixteen {
    INWARD_VECTORS(16)
    INWARD_LOADS_BY_CONVERSION
    INWARD_HALVES_BY_ARITHMETIC
    INWARD_LOOK_UP_LANE_BY_LANE
};
struct eight {
    INWARD_VECTORS(8)
    INWARD_LOADS_BY_CONVERSION
    INWARD_HALVES_BY_ARITHMETIC
    INWARD_LOOK_UP_LANE_BY_LANE
};
#    endif
struct four {
    INWARD_VECTORS(4)
#    ifdef __clang__
    INWARD_LOADS_BY_CONVERSION
#    else
    INWARD_LOADS_LANE_BY_LANE
#    endif
    INWARD_HALVES_BY_ARITHMETIC
    INWARD_LOOK_UP_LANE_BY_LANE
};

#else

struct four {
    static constexpr int LANES = 4;
    template <typename T> struct lanes {
        T v[LANES];
        template <typename Each> static lanes made(const Each & each) {
            lanes l;
            for (int i = 0; i < LANES; i++) l.v[i] = each(i);
            return l;
        }
        lanes & operator+=(const lanes & o) { return *this = *this + o; }
        lanes operator+(const lanes & o) const { return made([&](int i) { return v[i] + o.v[i]; }); }
        lanes operator-(const lanes & o) const { return made([&](int i) { return v[i] - o.v[i]; }); }
        lanes operator*(const lanes & o) const { return made([&](int i) { return v[i] * o.v[i]; }); }
        lanes operator|(const lanes & o) const { return made([&](int i) { return v[i] | o.v[i]; }); }
        lanes operator*(T o) const { return made([&](int i) { return v[i] * o; }); }
        lanes operator-(T o) const { return made([&](int i) { return v[i] - o; }); }
        lanes operator&(T o) const { return made([&](int i) { return v[i] & o; }); }
        lanes operator<<(int o) const { return made([&](int i) { return v[i] << o; }); }
        lanes operator>>(int o) const { return made([&](int i) { return v[i] >> o; }); }
    };
    typedef lanes<float>    vector;
    typedef lanes<int32_t>  ints;
    typedef lanes<uint32_t> words;

    static ints bytes(const void * at) { return ints::made([&](int i) { return ((const uint8_t *) at)[i]; }); }
    static ints signed_bytes(const void * at) { return ints::made([&](int i) { return ((const int8_t *) at)[i]; }); }
    static ints shorts(const void * at) { return ints::made([&](int i) { return ((const uint16_t *) at)[i]; }); }
    static vector floats(const ints & from) { return vector::made([&](int i) { return (float) from.v[i]; }); }
    static words as_words(const ints & from) { return words::made([&](int i) { return (uint32_t) from.v[i]; }); }
    static vector as_floats(const words & bits) {
        vector made;
        std::memcpy(&made, &bits, sizeof made);
        return made;
    }
    static vector halves(const void * at) {
        const words  bits = as_words(shorts(at));
        const words  size = (bits & 0x7fffu) << 13;
        const vector made = as_floats(size) * 0x1p112f;
        words        whole;
        std::memcpy(&whole, &made, sizeof whole);
        const words past = words::made([&](int i) { return size.v[i] >= 0x0f800000u ? 0x7f800000u : 0u; });
        return as_floats(whole | past | (bits & 0x8000u) << 16);
    }
    static vector looked_up(const float * table, const ints & index) {
        return vector::made([&](int i) { return table[index.v[i] & 15]; });
    }
};

#endif

// Columns of 4 x 4 numbers as rows.
INWARD_INLINE void turn_four(four::vector v[4]) {
#if defined(__clang__)
#    define INWARD_SHUFFLED(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#elif defined(__GNUC__)
#    define INWARD_SHUFFLED(a, b, i, j, k, l) __builtin_shuffle(a, b, four::ints{ i, j, k, l })
#endif
#ifdef INWARD_SHUFFLED
    const four::vector a = INWARD_SHUFFLED(v[0], v[1], 0, 4, 1, 5), b = INWARD_SHUFFLED(v[0], v[1], 2, 6, 3, 7);
    const four::vector c = INWARD_SHUFFLED(v[2], v[3], 0, 4, 1, 5), d = INWARD_SHUFFLED(v[2], v[3], 2, 6, 3, 7);
    v[0] = INWARD_SHUFFLED(a, c, 0, 1, 4, 5);
    v[1] = INWARD_SHUFFLED(a, c, 2, 3, 6, 7);
    v[2] = INWARD_SHUFFLED(b, d, 0, 1, 4, 5);
    v[3] = INWARD_SHUFFLED(b, d, 2, 3, 6, 7);
#else
    float all[4][4];
    std::memcpy(all, v, sizeof all);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) std::swap(all[i][j], all[j][i]);
    }
    std::memcpy(v, all, sizeof all);
#endif
}

}  // namespace inward
