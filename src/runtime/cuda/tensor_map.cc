#include <algorithm>
#include <cstring>

#include "runtime/cuda/cuda_device.h"
#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

static_assert(sizeof(CUtensorMap) == sizeof(EncodedTensorMap) && alignof(CUtensorMap) == alignof(EncodedTensorMap));

CUtensorMapDataType TypeOf(const TensorMapShape& shape) {
  switch (shape.dtype) {
    case DType::kF64:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
    case DType::kF32:
      return shape.tf32 ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    case DType::kF16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::kBf16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::kS32:
      return CU_TENSOR_MAP_DATA_TYPE_INT32;
    default:
      return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}

CUtensorMapSwizzle SwizzleOf(int bytes) {
  return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
         : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
         : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                       : CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace

EncodedTensorMap CudaDevice::EncodeTensorMap(const TensorMapShape& shape, void* address) const {
  const auto encode = context_->api().cuTensorMapEncodeTiled;
  if (encode == nullptr || !spec_.bulk_copies) return Device::EncodeTensorMap(shape, address);
  constexpr std::uint32_t kElementStrides[TensorMapShape::kMaxRank] = {1, 1, 1, 1, 1};
  EncodedTensorMap map{};
  const CUresult result = encode(
      reinterpret_cast<CUtensorMap*>(&map), TypeOf(shape), static_cast<std::uint32_t>(shape.rank), address,
      shape.extents.data(), shape.strides.data(), shape.box.data(), kElementStrides, CU_TENSOR_MAP_INTERLEAVE_NONE,
      SwizzleOf(shape.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_ERROR_INVALID_VALUE)
    throw Fail(Code::kInvalidArgument,
               "addresses and strides must be multiples of 16 bytes, boxes at most 256 elements",
               "tensor map: the driver refuses rank {}, extents {}, box {}, swizzle {}", shape.rank,
               fmt::join(shape.extents.begin(), shape.extents.begin() + std::clamp(shape.rank, 0, 5), "x"),
               fmt::join(shape.box.begin(), shape.box.begin() + std::clamp(shape.rank, 0, 5), "x"), shape.swizzle);
  context_->Check(result, "cuTensorMapEncodeTiled");
  return map;
}

void CudaDevice::MoveTensorMap(EncodedTensorMap& map, void* address) const {
  const auto replace = context_->api().cuTensorMapReplaceAddress;
  if (replace == nullptr) return Device::MoveTensorMap(map, address);
  context_->Check(replace(reinterpret_cast<CUtensorMap*>(&map), address), "cuTensorMapReplaceAddress");
}

}  // namespace gemmsmith::cuda
