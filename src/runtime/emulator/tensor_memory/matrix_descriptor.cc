#include "runtime/emulator/tensor_memory/matrix_descriptor.h"

#include <cstring>

#include "gemmsmith/error.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr std::uint32_t Field(std::uint64_t bits, int from, int count) {
  return static_cast<std::uint32_t>(bits >> from) & ((1u << count) - 1);
}

MatrixDescriptor CommonFields(std::uint64_t bits, const char* operation) {
  MatrixDescriptor descriptor;
  descriptor.start = Field(bits, 0, 14) << 4;
  descriptor.leading = Field(bits, 16, 14) << 4;
  descriptor.stride = Field(bits, 32, 14) << 4;
  descriptor.first_line = Field(bits, 49, 3);
  if (Field(bits, 14, 2) != 0 || Field(bits, 30, 2) != 0)
    throw Fail(Code::kDevice, "encode addresses and offsets as (bytes & 0x3ffff) >> 4",
               "{}: matrix descriptor {:#018x} has bits set between its fields", operation, bits);
  return descriptor;
}

void CheckFirstLine(const MatrixDescriptor& descriptor, std::uint64_t bits, const char* operation) {
  if (descriptor.swizzle == Swizzle::kNone && descriptor.first_line != 0)
    throw Fail(Code::kDevice, "the base offset belongs to swizzled layouts",
               "{}: matrix descriptor {:#018x} has base offset {} without a swizzle", operation, bits,
               descriptor.first_line);
}

}  // namespace

MatrixDescriptor MatrixDescriptor::OfWgmma(std::uint64_t bits) {
  MatrixDescriptor descriptor = CommonFields(bits, "wgmma");
  if (Field(bits, 46, 3) != 0 || Field(bits, 52, 10) != 0)
    throw Fail(Code::kDevice, "bits 46 to 48 and 52 to 61 are zero for sm_90",
               "wgmma: matrix descriptor {:#018x} has reserved bits set", bits);
  constexpr Swizzle kModes[] = {Swizzle::kNone, Swizzle::k128, Swizzle::k64, Swizzle::k32};
  descriptor.swizzle = kModes[Field(bits, 62, 2)];
  CheckFirstLine(descriptor, bits, "wgmma");
  return descriptor;
}

MatrixDescriptor MatrixDescriptor::OfTcgen05(std::uint64_t bits) {
  MatrixDescriptor descriptor = CommonFields(bits, "tcgen05");
  if (Field(bits, 46, 3) != 1 || Field(bits, 53, 8) != 0)
    throw Fail(Code::kDevice, "bits 46 to 48 are 0b001 and bits 53 to 60 zero for sm_100",
               "tcgen05: matrix descriptor {:#018x} has reserved bits set wrong", bits);
  if (Field(bits, 52, 1) != 0)
    throw Fail(Code::kUnsupported, "use relative leading dimension offsets",
               "tcgen05: matrix descriptor {:#018x} has an absolute leading dimension", bits);
  switch (Field(bits, 61, 3)) {
    case 0:
      break;
    case 2:
      descriptor.swizzle = Swizzle::k128;
      break;
    case 4:
      descriptor.swizzle = Swizzle::k64;
      break;
    case 6:
      descriptor.swizzle = Swizzle::k32;
      break;
    default:
      throw Fail(Code::kUnsupported, "use no swizzle (0), or that of 128 (2), 64 (4) or 32 bytes (6)",
                 "tcgen05: matrix descriptor {:#018x} has swizzle mode {}", bits, Field(bits, 61, 3));
  }
  CheckFirstLine(descriptor, bits, "tcgen05");
  return descriptor;
}

// The layouts are made of core matrices, 8 lines of 16 bytes. PTX ISA, "Strides" of wgmma:
//   K-major: without swizzle a core matrix is contiguous, the next one along k is `leading` away, the next 8 rows are
//   `stride` away; with a swizzle of w bytes rows are w bytes long, k runs along them, and `leading` means nothing.
//   MN-major: without swizzle the next core matrix along m or n is `stride` away, the next 8 of k `leading`; with a
//   swizzle of w bytes lines of w bytes run along m or n, 8 of k below each other, the next w bytes are `leading` away
//   and the next 8 of k `stride`.
void MatrixDescriptor::ListPieces(Major major, int extent, int k, int element_bits,
                                  std::vector<std::uint32_t>& pieces) const {
  const std::uint32_t line = SwizzleBytes(swizzle), per_line = line / 16;
  const bool plain = swizzle == Swizzle::kNone;
  const int lines = major == Major::kK ? extent : k;
  const auto count = static_cast<std::uint32_t>((major == Major::kK ? k : extent) * element_bits / 128);
  pieces.clear();
  for (int i = 0; i < lines; ++i) {
    const auto within = static_cast<std::uint32_t>(i % 8), beyond = static_cast<std::uint32_t>(i / 8);
    std::uint32_t at = start + within * line;
    if (major == Major::kK) {
      at += beyond * stride;
      for (std::uint32_t c = 0; c < count; ++c)
        pieces.push_back(Swizzled(swizzle, at + c * (plain ? leading : 16), first_line));
    } else {
      at += beyond * (plain ? leading : stride);
      for (std::uint32_t c = 0; c < count; ++c)
        pieces.push_back(
            Swizzled(swizzle, at + c % per_line * 16 + c / per_line * (plain ? stride : leading), first_line));
    }
  }
}

namespace {

TensorType ElementOf(InstructionDescriptor::Kind kind, std::uint32_t format, std::uint32_t bits) {
  using Kind = InstructionDescriptor::Kind;
  if (kind == Kind::kF16 && format < 2) return format == 0 ? TensorType::kF16 : TensorType::kBf16;
  if (kind == Kind::kTf32 && format == 2) return TensorType::kTf32;
  if (kind == Kind::kF8f6f4 && format < 2) return format == 0 ? TensorType::kE4m3 : TensorType::kE5m2;
  if (kind == Kind::kI8 && format < 2) return format == 0 ? TensorType::kU8 : TensorType::kS8;
  const bool narrow = kind == Kind::kF8f6f4 && format >= 3 && format <= 5;
  throw Fail(narrow ? Code::kUnsupported : Code::kDevice, narrow ? "use e4m3 or e5m2" : "",
             "tcgen05.mma: instruction descriptor {:#010x} has element format {}", bits, format);
}

}  // namespace

InstructionDescriptor InstructionDescriptor::Decode(Kind kind, std::uint32_t bits) {
  if (Field(bits, 0, 3) != 0)
    throw Fail(Code::kUnsupported, "use the dense form", "tcgen05.mma: instruction descriptor {:#010x} is sparse",
               bits);
  const std::uint32_t accumulator = Field(bits, 4, 2);
  const bool integers = kind == Kind::kI8, halves = kind == Kind::kF16 || kind == Kind::kF8f6f4;
  if (accumulator == 3 || integers != (accumulator == 2) || (accumulator == 0 && !halves))
    throw Fail(Code::kDevice, "", "tcgen05.mma: instruction descriptor {:#010x} has accumulator format {}", bits,
               accumulator);
  InstructionDescriptor descriptor;
  descriptor.accumulator = static_cast<Accumulator>(accumulator);
  descriptor.saturate = Field(bits, 3, 1) != 0;
  descriptor.a = ElementOf(kind, Field(bits, 7, 3), bits);
  descriptor.b = ElementOf(kind, Field(bits, 10, 3), bits);
  descriptor.negate_a = Field(bits, 13, 1) != 0;
  descriptor.negate_b = Field(bits, 14, 1) != 0;
  descriptor.a_major = Field(bits, 15, 1) != 0 ? Major::kMn : Major::kK;
  descriptor.b_major = Field(bits, 16, 1) != 0 ? Major::kMn : Major::kK;
  descriptor.n = static_cast<int>(Field(bits, 17, 6)) * 8;
  descriptor.m = static_cast<int>(Field(bits, 24, 5)) * 16;
  if (Field(bits, 6, 1) != 0 || Field(bits, 23, 1) != 0 || Field(bits, 29, 1) != 0)
    throw Fail(Code::kDevice, "bits 6, 23 and 29 are zero",
               "tcgen05.mma: instruction descriptor {:#010x} has reserved bits set", bits);
  if (descriptor.n == 0 || descriptor.n > 256 || (descriptor.m != 64 && descriptor.m != 128 && descriptor.m != 256))
    throw Fail(Code::kDevice, "m is 64, 128 or 256, n at most 256",
               "tcgen05.mma: instruction descriptor {:#010x} has shape m{}n{}", bits, descriptor.m, descriptor.n);
  return descriptor;
}

void FactorReader::Read(std::span<const std::byte> shared, const MatrixDescriptor& descriptor, Side side, Major major,
                        int extent, int k, TensorType type, bool negate, float* tile) {
  descriptor.ListPieces(major, extent, k, BitsOf(type), pieces_);
  bytes_.resize(pieces_.size() * 16);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i] + std::size_t{16} > shared.size())
      throw Fail(Code::kDevice, "check start address, strides and the size of shared memory",
                 "matrix descriptor (start {:#x}, leading {}, stride {} bytes): reads 16 bytes at {:#x} of {} bytes of "
                 "shared memory",
                 descriptor.start, descriptor.leading, descriptor.stride, pieces_[i], shared.size());
    std::memcpy(bytes_.data() + i * 16, shared.data() + pieces_[i], 16);
  }
  const std::size_t count = static_cast<std::size_t>(extent) * k;
  const bool transposed = (side == Side::kA) != (major == Major::kK);
  widened_.resize(count);
  float* widened = transposed ? widened_.data() : tile;
  Matmul().widen(type, bytes_.data(), count, widened);
  if (transposed) Matmul().transpose(major == Major::kK ? extent : k, major == Major::kK ? k : extent, widened, tile);
  if (negate)
    for (std::size_t i = 0; i < count; ++i) tile[i] = -tile[i];
}

}  // namespace gemmsmith::emulator
