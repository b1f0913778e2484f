extern "C" __global__ void __launch_bounds__(64) Plain(float* x) {
  __shared__ float tile[256];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[threadIdx.x ^ 1] * 2.0f + 1.0f;
}
extern "C" __global__ void Local(float* x, int n) {
  float values[16];
  for (int i = 0; i < 16; ++i) values[i] = x[i];
  for (int i = 0; i < n; ++i) values[i * 7 % 16] += x[i];
  x[0] = values[n % 16];
}
