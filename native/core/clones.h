// One binary carries a loop for several instruction sets and picks when it is loaded: machines differ.
#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#    define INWARD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#    define INWARD_CLONES
#endif
#if defined(__GNUC__)
#    define INWARD_INLINE inline __attribute__((always_inline))
#else
#    define INWARD_INLINE inline
#endif
