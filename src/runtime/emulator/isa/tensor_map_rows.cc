// tensormap.replace: the fields of a tensor map, one at a time.
#include <array>

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/tensor_memory/tensor_map.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

enum class Field : std::uint8_t {
  kAddress,
  kRank,
  kBox,
  kDimension,
  kStride,
  kStep,
  kType,
  kInterleave,
  kSwizzle,
  kFill,
};
struct FieldRow {
  std::string_view name;
  Field field;
  bool ordinal = false, wide = false;
};
constexpr FieldRow kFields[] = {{"global_address", Field::kAddress, false, true},
                                {"rank", Field::kRank},
                                {"box_dim", Field::kBox, true},
                                {"global_dim", Field::kDimension, true},
                                {"global_stride", Field::kStride, true, true},
                                {"element_stride", Field::kStep, true},
                                {"elemtype", Field::kType},
                                {"interleave_layout", Field::kInterleave},
                                {"swizzle_mode", Field::kSwizzle},
                                {"fill_mode", Field::kFill}};

/// PTX numbers element types in another order than the driver does.
constexpr std::array kTypes = {MemoryType::kU8,     MemoryType::kU16, MemoryType::kU32,  MemoryType::kS32,
                               MemoryType::kU64,    MemoryType::kS64, MemoryType::kF16,  MemoryType::kF32,
                               MemoryType::kF32Ftz, MemoryType::kF64, MemoryType::kBf16, MemoryType::kTf32,
                               MemoryType::kTf32Ftz};

void Set(TensorMap& map, Field field, std::size_t ordinal, std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  switch (field) {
    case Field::kAddress:
      map.address = value;
      break;
    case Field::kRank:  // Counted from 0.
      map.rank = static_cast<int>(word & 0xff) + 1;
      break;
    case Field::kBox:
      map.box[ordinal] = word;
      break;
    case Field::kDimension:
      map.dims[ordinal] = word;
      break;
    case Field::kStride:
      map.strides[ordinal] = value;
      break;
    case Field::kStep:
      map.element_steps[ordinal] = word;
      break;
    case Field::kType:
      map.type = kTypes[ordinal];
      break;
    case Field::kInterleave:
      map.interleave = word;
      break;
    case Field::kSwizzle:
      map.swizzle = word;
      break;
    case Field::kFill:
      map.oob_fill = word;
      break;
  }
}

/// Operands: the address, the new value. options: window, field, ordinal (of types: the type).
void Replace(Warp& warp, const Instruction& i) {
  constexpr std::uint32_t kBytes = TensorMap::kOpaqueBytes;
  std::byte* at[kLanes];
  Resolve(warp, i, i.operands[0], static_cast<Window>(i.options[0]), AccessKind::kWrite, kBytes, 64, at);
  std::uint64_t values[kLanes];
  warp.GetBits(i.operands[1], values);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const std::span<std::byte, kBytes> opaque(at[lane], kBytes);
    try {
      TensorMap map = TensorMap::DecodeAnyway(opaque);
      Set(map, static_cast<Field>(i.options[1]), i.options[2], values[lane]);
      map.EncodeAnyway(opaque);
    } catch (const Error& error) {
      throw warp.Fault(i, lane, error.what());
    }
  }
}

void Prepare(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const FieldRow* row = nullptr;
  for (const FieldRow& candidate : kFields)
    if (form.Has(candidate.name)) row = &candidate;
  const std::size_t count = decoder.operand_count();
  if (row == nullptr || count != (row->ordinal ? 3u : 2u)) throw decoder.Refuse("it has operands too many or too few");
  out.options[0] = static_cast<std::uint8_t>(FindWindow(form));
  out.options[1] = static_cast<std::uint8_t>(row->field);
  const bool type = row->field == Field::kType;
  const std::uint64_t ordinal = row->ordinal || type ? decoder.Immediate(decoder.operand(1)) : 0;
  const std::uint64_t limit = type ? kTypes.size() : row->field == Field::kStride ? 4 : 5;
  if (ordinal >= limit) throw decoder.Refuse(fmt::format("{} of {}", ordinal, limit));
  out.options[2] = static_cast<std::uint8_t>(ordinal);
  decoder.Push(decoder.Address(decoder.operand(0)));
  decoder.Push(decoder.Source(decoder.operand(count - 1), row->wide ? ScalarType::kB64 : ScalarType::kB32));
}

constexpr Category kCategory = Category::kCopy;
#define GEMMSMITH_REPLACE [](const Form&) -> Execute { return Replace; }, Prepare

constexpr Row kRows[] = {
    {"tensormap.replace.tile.{global_address,global_stride}[.{global,shared::cta}].b1024.b64", "", kCategory, 83, 90,
     GEMMSMITH_REPLACE},
    {"tensormap.replace.tile.{rank,box_dim,global_dim,element_stride,elemtype,interleave_layout,swizzle_mode,fill_mode}"
     "[.{global,shared::cta}].b1024.b32",
     "", kCategory, 83, 90, GEMMSMITH_REPLACE},
};

}  // namespace

std::span<const Row> TensorMapRows() { return kRows; }

}  // namespace gemmsmith::emulator
