#if __has_include(<cuda.h>)
// First: its macros rename some functions to their newest versions, and so in our table too.
#include <cuda.h>
#define HAVE_CUDA_H 1
#endif

#include <gtest/gtest.h>

#include <type_traits>

#include "runtime/cuda/driver_api.h"

namespace gemmsmith {
namespace {

#if HAVE_CUDA_H

/// Passed alike: pointers, or numbers of one size and signedness.
template <class Ours, class Theirs>
constexpr bool kAlike = sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>;

template <class Ours, class Theirs>
struct SameCall : std::false_type {};
template <class OurResult, class... Ours, class TheirResult, class... Theirs>
requires(sizeof...(Ours) == sizeof...(Theirs)) struct SameCall<OurResult (*)(Ours...), TheirResult(Theirs...)>
    : std::bool_constant<kAlike<OurResult, TheirResult> && (kAlike<Ours, Theirs> && ...)> {
};

TEST(CudaDeclarations, EveryFunctionIsCalledAsCudaHDeclaresIt) {
#define GEMMSMITH_CUDA_FUNCTION(symbol, name, version, need, ...) \
  EXPECT_TRUE((SameCall<decltype(cuda::DriverApi::symbol), decltype(::symbol)>::value)) << name;
#include "runtime/cuda/driver_functions.def"
#undef GEMMSMITH_CUDA_FUNCTION
}

#define SAME_VALUE(name) EXPECT_EQ(static_cast<int>(cuda::name), static_cast<int>(::name)) << #name

TEST(CudaDeclarations, EveryErrorHasItsValueOfCudaH) {
  SAME_VALUE(CUDA_SUCCESS);
  SAME_VALUE(CUDA_ERROR_INVALID_VALUE);
  SAME_VALUE(CUDA_ERROR_OUT_OF_MEMORY);
  SAME_VALUE(CUDA_ERROR_NOT_INITIALIZED);
  SAME_VALUE(CUDA_ERROR_DEINITIALIZED);
  SAME_VALUE(CUDA_ERROR_STUB_LIBRARY);
  SAME_VALUE(CUDA_ERROR_DEVICE_UNAVAILABLE);
  SAME_VALUE(CUDA_ERROR_NO_DEVICE);
  SAME_VALUE(CUDA_ERROR_INVALID_DEVICE);
  SAME_VALUE(CUDA_ERROR_INVALID_IMAGE);
  SAME_VALUE(CUDA_ERROR_INVALID_CONTEXT);
  SAME_VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU);
  SAME_VALUE(CUDA_ERROR_ECC_UNCORRECTABLE);
  SAME_VALUE(CUDA_ERROR_INVALID_PTX);
  SAME_VALUE(CUDA_ERROR_NVLINK_UNCORRECTABLE);
  SAME_VALUE(CUDA_ERROR_JIT_COMPILER_NOT_FOUND);
  SAME_VALUE(CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  SAME_VALUE(CUDA_ERROR_JIT_COMPILATION_DISABLED);
  SAME_VALUE(CUDA_ERROR_INVALID_SOURCE);
  SAME_VALUE(CUDA_ERROR_INVALID_HANDLE);
  SAME_VALUE(CUDA_ERROR_NOT_FOUND);
  SAME_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS);
  SAME_VALUE(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  SAME_VALUE(CUDA_ERROR_LAUNCH_TIMEOUT);
  SAME_VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  SAME_VALUE(CUDA_ERROR_ASSERT);
  SAME_VALUE(CUDA_ERROR_HARDWARE_STACK_ERROR);
  SAME_VALUE(CUDA_ERROR_ILLEGAL_INSTRUCTION);
  SAME_VALUE(CUDA_ERROR_MISALIGNED_ADDRESS);
  SAME_VALUE(CUDA_ERROR_INVALID_ADDRESS_SPACE);
  SAME_VALUE(CUDA_ERROR_INVALID_PC);
  SAME_VALUE(CUDA_ERROR_LAUNCH_FAILED);
  SAME_VALUE(CUDA_ERROR_UNKNOWN);
}

TEST(CudaDeclarations, EveryAttributeAndOptionHasItsValueOfCudaH) {
  SAME_VALUE(CU_STREAM_CAPTURE_STATUS_NONE);
  SAME_VALUE(CU_STREAM_CAPTURE_STATUS_ACTIVE);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  SAME_VALUE(CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH);
  SAME_VALUE(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  SAME_VALUE(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  SAME_VALUE(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  SAME_VALUE(CU_FUNC_ATTRIBUTE_NUM_REGS);
  SAME_VALUE(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  SAME_VALUE(CU_JIT_ERROR_LOG_BUFFER);
  SAME_VALUE(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
  SAME_VALUE(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
  SAME_VALUE(CU_STREAM_DEFAULT);
  SAME_VALUE(CU_EVENT_DEFAULT);
  EXPECT_EQ(cuda::kHostAllocPortable, static_cast<unsigned>(CU_MEMHOSTALLOC_PORTABLE));
}

#define SAME_FIELD(type, field)                                    \
  EXPECT_EQ(offsetof(cuda::type, field), offsetof(::type, field)); \
  EXPECT_EQ(sizeof(cuda::type::field), sizeof(::type::field)) << #field

TEST(CudaDeclarations, LaunchStructuresLieAsInCudaH) {
  EXPECT_EQ(sizeof(cuda::CUlaunchConfig), sizeof(::CUlaunchConfig));
  EXPECT_EQ(sizeof(cuda::CUlaunchAttribute), sizeof(::CUlaunchAttribute));
  SAME_FIELD(CUlaunchConfig, gridDimX);
  SAME_FIELD(CUlaunchConfig, gridDimZ);
  SAME_FIELD(CUlaunchConfig, blockDimX);
  SAME_FIELD(CUlaunchConfig, blockDimZ);
  SAME_FIELD(CUlaunchConfig, sharedMemBytes);
  SAME_FIELD(CUlaunchConfig, hStream);
  SAME_FIELD(CUlaunchConfig, attrs);
  SAME_FIELD(CUlaunchConfig, numAttrs);
  SAME_FIELD(CUlaunchAttribute, id);
  SAME_FIELD(CUlaunchAttribute, value);
  SAME_FIELD(CUlaunchAttributeValue, clusterDim);
}

#else

TEST(CudaDeclarations, AgreeWithCudaH) { GTEST_SKIP() << "no cuda.h: the CUDA toolkit was not found"; }

#endif

}  // namespace
}  // namespace gemmsmith
