// The part of the CBLAS interface that ggml's BLAS backend calls: a library out of a Python wheel has no headers.
#pragma once

enum CBLAS_ORDER { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112 };

extern "C" {
void cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, int m, int n, int k,
                 float alpha, const float * a, int lda, const float * b, int ldb, float beta, float * c, int ldc);
#ifdef GGML_BLAS_USE_OPENBLAS
void openblas_set_num_threads(int threads);
#endif
}
