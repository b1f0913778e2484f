#include "runtime/emulator/tensor_memory/tensor_map.h"

#include <cstring>
#include <type_traits>

#include "gemmsmith/error.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

struct TypeRow {
  const char* name;
  int bytes;
  bool floating;
};
constexpr TypeRow kTypes[] = {{"u8", 1, false},     {"u16", 2, false}, {"u32", 4, false},    {"s32", 4, false},
                              {"u64", 8, false},    {"s64", 8, false}, {"f16", 2, true},     {"f32", 4, true},
                              {"f64", 8, true},     {"bf16", 2, true}, {"f32 ftz", 4, true}, {"tf32", 4, true},
                              {"tf32 ftz", 4, true}};
const TypeRow& Row(MemoryType type) { return kTypes[static_cast<std::size_t>(type)]; }

constexpr std::uint64_t kMagic = 0x70616d2d756d6567;  // "gemu-map"

/// What lies in the 128 bytes.
struct Wire {
  std::uint64_t magic, address, strides[4], dims_less_one[5];
  std::uint16_t box[5];
  std::uint8_t steps[5], type, rank, interleave, swizzle, oob_fill;
  std::uint32_t checksum;
};
static_assert(std::is_trivially_copyable_v<Wire> && std::has_unique_object_representations_v<Wire> &&
              sizeof(Wire) <= TensorMap::kOpaqueBytes);

/// FNV-1a: enough to tell our bytes from others.
std::uint32_t Checksum(Wire wire) {
  wire.checksum = 0;
  unsigned char bytes[sizeof wire];
  std::memcpy(bytes, &wire, sizeof wire);
  std::uint32_t hash = 2166136261u;
  for (unsigned char byte : bytes) hash = (hash ^ byte) * 16777619u;
  return hash;
}

/// The refusals all begin alike.
template <class... Args>
[[noreturn]] void Refuse(Code code, std::string_view remedy, fmt::format_string<Args...> format, Args&&... args) {
  throw Fail(code, remedy, "tensor map: {}", fmt::format(format, std::forward<Args>(args)...));
}

void CheckDimensions(const TensorMap& map) {
  for (int i = 0; i < map.rank; ++i) {
    if (map.dims[i] == 0 || map.dims[i] > std::uint64_t{1} << 32)
      Refuse(Code::kInvalidArgument, "", "dimension {} has {} elements; 1 to 2^32 are possible", i, map.dims[i]);
    if (map.box[i] == 0 || map.box[i] > 256)
      Refuse(Code::kInvalidArgument, "copy more in several boxes",
             "the box has {} elements in dimension {}; at most 256", map.box[i], i);
    if (map.element_steps[i] == 0 || map.element_steps[i] > 8)
      Refuse(Code::kInvalidArgument, "", "element stride {} of dimension {}; 1 to 8 are possible", map.element_steps[i],
             i);
    if (i > 0 && (map.strides[i - 1] % 16 != 0 || map.strides[i - 1] >= std::uint64_t{1} << 40))
      Refuse(Code::kInvalidArgument, "pad the rows of the tensor",
             "stride {} bytes of dimension {}; a multiple of 16 below 2^40 is possible", map.strides[i - 1], i);
  }
}

}  // namespace

int BytesOf(MemoryType type) { return Row(type).bytes; }
std::string_view ToString(MemoryType type) { return Row(type).name; }

// cuda.h, cuTensorMapEncodeTiled.
void TensorMap::Check() const {
  if (static_cast<std::size_t>(type) >= std::size(kTypes))
    Refuse(Code::kUnsupported, "use elements of 8 bits or more", "data type {}", static_cast<int>(type));
  if (rank < 1 || rank > kMaxRank) Refuse(Code::kInvalidArgument, "", "rank {}; 1 to 5 are possible", rank);
  if (interleave != 0) Refuse(Code::kUnsupported, "use CU_TENSOR_MAP_INTERLEAVE_NONE", "interleave {}", interleave);
  if (swizzle > 3) Refuse(Code::kUnsupported, "swizzle by 32, 64 or 128 bytes in pieces of 16", "swizzle {}", swizzle);
  if (address == 0 || address % 16 != 0)
    Refuse(Code::kInvalidArgument, "align the tensor to 16 bytes", "global address {:#x}", address);
  CheckDimensions(*this);
  const std::uint32_t inner = box[0] * BytesOf(type);
  if (inner % 16 != 0)
    Refuse(Code::kInvalidArgument, "", "a row of the box has {} bytes; it must be a multiple of 16", inner);
  if (swizzle != 0 && inner > SwizzleBytes(static_cast<Swizzle>(swizzle)))
    Refuse(Code::kInvalidArgument, "use a wider swizzle or a narrower box", "a row of the box has {} bytes; at most {}",
           inner, SwizzleBytes(static_cast<Swizzle>(swizzle)));
  if (oob_fill > 1 || (oob_fill == 1 && !Row(type).floating))
    Refuse(Code::kInvalidArgument, "fill integers with zero", "fill {} outside of a tensor of {}", oob_fill,
           ToString(type));
}

void TensorMap::Encode(std::span<std::byte, kOpaqueBytes> opaque) const {
  Check();
  EncodeAnyway(opaque);
}

TensorMap TensorMap::Decode(std::span<const std::byte, kOpaqueBytes> opaque) {
  TensorMap map = DecodeAnyway(opaque);
  map.Check();
  // What lies beyond the rank means nothing.
  for (int i = map.rank; i < kMaxRank; ++i) {
    map.dims[i] = 0;
    map.box[i] = 0;
    map.element_steps[i] = 1;
    if (i > 0) map.strides[i - 1] = 0;
  }
  return map;
}

void TensorMap::EncodeAnyway(std::span<std::byte, kOpaqueBytes> opaque) const {
  Wire wire{};
  wire.magic = kMagic;
  wire.address = address;
  for (int i = 0; i < kMaxRank; ++i) {
    wire.dims_less_one[i] = dims[i] - 1;
    wire.box[i] = static_cast<std::uint16_t>(box[i]);
    wire.steps[i] = static_cast<std::uint8_t>(element_steps[i]);
    if (i > 0) wire.strides[i - 1] = strides[i - 1];
  }
  wire.type = static_cast<std::uint8_t>(type);
  wire.rank = static_cast<std::uint8_t>(rank);
  wire.interleave = static_cast<std::uint8_t>(interleave);
  wire.swizzle = static_cast<std::uint8_t>(swizzle);
  wire.oob_fill = static_cast<std::uint8_t>(oob_fill);
  wire.checksum = Checksum(wire);
  std::memset(opaque.data(), 0, opaque.size());
  std::memcpy(opaque.data(), &wire, sizeof wire);
}

TensorMap TensorMap::DecodeAnyway(std::span<const std::byte, kOpaqueBytes> opaque) {
  Wire wire;
  std::memcpy(&wire, opaque.data(), sizeof wire);
  if (wire.magic != kMagic || wire.checksum != Checksum(wire))
    Refuse(Code::kDevice, "encode it for this device, and pass its address or a __grid_constant__ parameter",
           "these 128 bytes are no tensor map of the emulated device");
  TensorMap map;
  map.type = static_cast<MemoryType>(wire.type);
  map.rank = wire.rank;
  map.address = wire.address;
  map.interleave = wire.interleave;
  map.swizzle = wire.swizzle;
  map.oob_fill = wire.oob_fill;
  for (int i = 0; i < kMaxRank; ++i) {
    map.dims[i] = wire.dims_less_one[i] + 1;
    map.box[i] = wire.box[i];
    map.element_steps[i] = wire.steps[i];
    if (i > 0) map.strides[i - 1] = wire.strides[i - 1];
  }
  return map;
}

TensorMap TensorMap::Of(const TensorMapShape& shape, const void* address) {
  TensorMap map;
  switch (shape.dtype) {
    case DType::kF64:
      map.type = MemoryType::kF64;
      break;
    case DType::kF32:
      map.type = shape.tf32 ? MemoryType::kTf32 : MemoryType::kF32;
      break;
    case DType::kF16:
      map.type = MemoryType::kF16;
      break;
    case DType::kBf16:
      map.type = MemoryType::kBf16;
      break;
    case DType::kS32:
      map.type = MemoryType::kS32;
      break;
    default:
      map.type = MemoryType::kU8;
  }
  map.rank = shape.rank;
  map.address = reinterpret_cast<std::uint64_t>(address);
  map.dims = shape.extents;
  map.strides = shape.strides;
  map.box = shape.box;
  map.swizzle = shape.swizzle == 128 ? 3u : shape.swizzle == 64 ? 2u : shape.swizzle == 32 ? 1u : 0u;
  return map;
}

}  // namespace gemmsmith::emulator
