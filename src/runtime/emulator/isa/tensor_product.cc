// The tensor core of tcgen05: products, copies from shared to tensor memory, and the signal that they are done.
#include <algorithm>
#include <cstring>

#include "runtime/emulator/isa/bulk_form.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/isa/tensor_form.h"
#include "runtime/emulator/machine/tensor_core.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;
using Kind = InstructionDescriptor::Kind;
using Ctas = std::array<Cta*, 2>;

/// f(lane) for each lane that executes.
template <class F>
void ForEachLane(Warp& warp, const Instruction& i, F f) {
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    Guarded(warp, i, lane, [&] { f(lane); });
  }
}

/// Tells of what is read through a descriptor in the shared memory of each CTA, which has it all.
void TellPieces(Warp& warp, const Instruction& i, int lane, const Ctas& ctas, const MatrixDescriptor& descriptor,
                Major major, int extent, int k, int element_bits) {
  std::vector<std::uint32_t> pieces;
  descriptor.ListPieces(major, extent, k, element_bits, pieces);
  for (const Cta* cta : ctas) {
    if (cta == nullptr) continue;
    const std::size_t bytes = cta->window().size();
    for (const std::uint32_t piece : pieces)
      if (piece < kSharedBegin || piece + std::size_t{16} > bytes)
        throw Fail(Code::kDevice, "check start address, strides and the size of shared memory",
                   "matrix descriptor (start {:#x}, leading {}, stride {} bytes): reads 16 bytes at {:#x}; shared "
                   "memory is from {:#x} to {:#x}",
                   descriptor.start, descriptor.leading, descriptor.stride, piece, kSharedBegin, bytes);
    if (Observer* const observer = warp.observer()) observer->OnTensorPieces(warp, i, lane, *cta, pieces);
  }
}

void TellWords(Warp& warp, const Instruction& i, int lane, std::span<const TensorWords> words) {
  for (const TensorWords& w : words) CheckTensorWords(warp, i, w);
  if (Observer* const observer = warp.observer()) observer->OnTensorWords(warp, i, TensorUser::kCore, lane, words);
}

// Products.

/// One form of tcgen05.mma; kept in Instruction::extra. Operands: D; A, a descriptor or an address; the descriptor of
/// B; the instruction's; the words of the mask; whether D is added to.
struct Recipe {
  Kind kind{};
  bool a_in_memory = false;
  std::size_t masks = 0;
  float scale = 1;
};

class ProductWork final : public TensorCoreWork {
 public:
  ProductWork(Warp& warp, const Instruction& i, std::uint32_t lane, const Ctas& ctas, const TensorProduct& product)
      : TensorCoreWork(warp, i, lane, ctas), product_(product) {}
  void Do() override { product_.Run(ctas()); }

 private:
  TensorProduct product_;
};

/// Shapes that there are: PTX ISA, "Various combinations of .kind and shapes", and what it says of alignment.
void CheckProduct(const TensorProduct& p, Kind kind) {
  const auto fail = [&](const std::string& why) {
    throw Fail(Code::kDevice, "", "tcgen05.mma with m{}n{} and .cta_group::{}: {}", p.form.m, p.form.n, p.group, why);
  };
  if (p.rows() != 64 && p.rows() != 128) fail("m is 64 or 128 for one CTA, 128 or 256 for two");
  const int step = kind == Kind::kI8 ? (p.group == 2 ? 32 : p.form.n > 32 ? 16 : 8) : 8 * p.group;
  if (p.form.n % step != 0) fail(fmt::format("n is no multiple of {}", step));
  const bool brain = p.form.a == TensorType::kBf16 || p.form.b == TensorType::kBf16;
  if (brain && p.form.accumulator == InstructionDescriptor::Accumulator::kF16) fail("sums in f16 take factors in f16");
  if (kind == Kind::kI8 && (p.form.negate_a || p.form.negate_b)) fail(".kind::i8 negates no factor");
  const auto transposed = [&](Major major, TensorType type, int extent) {
    if (major == Major::kK) return;
    if (type == TensorType::kTf32)
      fail("tf32 factors whose neighbours lie along m or n take a swizzle of 32-byte atoms");
    if (BitsOf(type) == 8 && extent % 16 != 0) fail("8-bit factors along m or n take multiples of 16");
  };
  if (!p.a_in_memory) transposed(p.form.a_major, p.form.a, p.rows());
  transposed(p.form.b_major, p.form.b, p.columns());
  const bool half = p.rows() == 64 && p.group == 1;
  if (p.d.lane != 0 && (!half || p.d.lane != 16))
    fail(fmt::format("D begins at lane {}, not at 0{}", p.d.lane, half ? " or 16" : ""));
  if (p.a_in_memory && p.a_words.lane != p.d.lane)
    fail(fmt::format("A begins at lane {}, D at {}", p.a_words.lane, p.d.lane));
}

TensorProduct ProductOf(Warp& warp, const Instruction& i, const Recipe& recipe, int lane) {
  const auto bits = [&](std::size_t o) {
    std::uint64_t values[kLanes];
    warp.GetBits(i.operands[o], values);
    return values[lane];
  };
  const auto address = [&](std::size_t o) {
    return TensorAddress(static_cast<std::uint32_t>(bits(o) + static_cast<std::uint64_t>(i.operands[o].offset)));
  };
  TensorProduct p;
  p.form = InstructionDescriptor::Decode(recipe.kind, static_cast<std::uint32_t>(bits(3)));
  p.k = recipe.kind == Kind::kF16 ? 16 : recipe.kind == Kind::kTf32 ? 8 : 32;
  p.group = i.options[0];
  p.d = address(0);
  p.a_in_memory = recipe.a_in_memory;
  if (recipe.a_in_memory)
    p.a_words = address(1);
  else
    p.a = MatrixDescriptor::OfTcgen05(bits(1));
  p.b = MatrixDescriptor::OfTcgen05(bits(2));
  for (std::size_t w = 0; w < recipe.masks; ++w) p.disabled[w] = static_cast<std::uint32_t>(bits(4 + w));
  p.keeps = (warp.GetPredicate(i.operands[4 + recipe.masks]) >> lane & 1) != 0;
  p.scale = recipe.scale;
  CheckProduct(p, recipe.kind);
  return p;
}

void Multiply(Warp& warp, const Instruction& i) {
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  const Ctas ctas = TensorGroup(warp, i);
  ForEachLane(warp, i, [&](int lane) {
    const TensorProduct p = ProductOf(warp, i, recipe, lane);
    if (!p.a_in_memory) TellPieces(warp, i, lane, ctas, p.a, p.form.a_major, p.rows(), p.k, BitsOf(p.form.a));
    TellPieces(warp, i, lane, ctas, p.b, p.form.b_major, p.columns(), p.k, BitsOf(p.form.b));
    TellWords(warp, i, lane, p.Words(ctas));
    warp.cta().cluster().async().Add(std::make_unique<ProductWork>(warp, i, static_cast<std::uint32_t>(lane), ctas, p));
  });
}

/// [d], a, b, form{, mask}, enable{, scale}
void PrepareProduct(Decoder& decoder, Instruction& out) {
  PrepareTensor(decoder, out);
  const Form& form = decoder.form();
  const std::size_t count = decoder.operand_count();
  if (count < 5) throw decoder.Refuse("it takes D, A, B, an instruction descriptor and whether D is added to");
  Recipe recipe;
  recipe.kind = form.Has("kind::tf32")     ? Kind::kTf32
                : form.Has("kind::f8f6f4") ? Kind::kF8f6f4
                : form.Has("kind::i8")     ? Kind::kI8
                                           : Kind::kF16;
  recipe.a_in_memory = decoder.operand(1).kind == ptx::Operand::Kind::kAddress;
  const bool masks = decoder.operand(4).kind == ptx::Operand::Kind::kVector;
  const std::size_t enable = masks ? 5 : 4;
  recipe.masks = masks ? std::size_t{4} * out.options[0] : 0;
  if (count < enable + 1 || count > enable + 2) throw decoder.Refuse("it has operands too many or too few");
  if (count == enable + 2) {
    const std::uint64_t scale = decoder.Immediate(decoder.operand(enable + 1));
    if (scale > 15 || (recipe.kind != Kind::kF16 && recipe.kind != Kind::kTf32))
      throw decoder.Refuse("scale-input-d is 0 to 15, and for .kind::f16 and .kind::tf32");
    recipe.scale = 1.0f / static_cast<float>(1u << scale);
  }
  decoder.Push(decoder.Address(decoder.operand(0)));
  decoder.Push(recipe.a_in_memory ? decoder.Address(decoder.operand(1))
                                  : decoder.Source(decoder.operand(1), ScalarType::kB64));
  decoder.Push(decoder.Source(decoder.operand(2), ScalarType::kB64));
  decoder.Push(decoder.Source(decoder.operand(3), ScalarType::kB32));
  if (masks) PushRegisters(decoder, decoder.operand(4), recipe.masks, ScalarType::kB32, false);
  decoder.Push(decoder.Source(decoder.operand(enable), ScalarType::kPred));
  out.extra = decoder.Keep(recipe);
}

// Copies.

/// Rows of the source, and the first of the lanes where they go.
struct CopyPart {
  int row, rows, lane;
};
struct CopyShape {
  std::string_view name;  ///< "128x256b", "64x128b.warpx2::02_13"
  int rows, bits;
  std::vector<CopyPart> parts;
};

/// PTX ISA, tcgen05.cp; .4x256b has one row for the lanes of each warp, which is where tcgen05.shift leaves room.
const CopyShape& CopyShapeOf(const Form& form) {
  static const std::vector<CopyShape> shapes = {
      {"128x256b", 128, 256, {{0, 128, 0}}},
      {"128x128b", 128, 128, {{0, 128, 0}}},
      {"4x256b", 4, 256, {{0, 1, 0}, {1, 1, 32}, {2, 1, 64}, {3, 1, 96}}},
      {"warpx2::02_13", 64, 128, {{0, 32, 0}, {32, 32, 32}, {0, 32, 64}, {32, 32, 96}}},
      {"warpx2::01_23", 64, 128, {{0, 32, 0}, {0, 32, 32}, {32, 32, 64}, {32, 32, 96}}},
      {"warpx4", 32, 128, {{0, 32, 0}, {0, 32, 32}, {0, 32, 64}, {0, 32, 96}}},
  };
  return *std::find_if(shapes.begin(), shapes.end(), [&](const CopyShape& shape) { return form.Has(shape.name); });
}

class CopyWork final : public TensorCoreWork {
 public:
  CopyWork(Warp& warp, const Instruction& i, std::uint32_t lane, const Ctas& ctas, const CopyShape& shape,
           const MatrixDescriptor& from, TensorAddress to)
      : TensorCoreWork(warp, i, lane, ctas), shape_(shape), from_(from), to_(to) {}
  void Do() override {
    std::vector<std::uint32_t> pieces;
    from_.ListPieces(Major::kK, shape_.rows, shape_.bits, 1, pieces);
    const int per_row = shape_.bits / 128;
    for (Cta* const cta : ctas()) {
      if (cta == nullptr) continue;
      for (const CopyPart& part : shape_.parts)
        for (int at = 0; at < part.rows * per_row; ++at)
          std::memcpy(cta->tensor_memory().At(to_.lane + part.lane + at / per_row, to_.column + at % per_row * 4),
                      cta->window().data() + pieces[static_cast<std::size_t>(part.row * per_row + at)], 16);
    }
  }

 private:
  const CopyShape& shape_;
  MatrixDescriptor from_;
  TensorAddress to_;
};

/// Operands: the address, the descriptor.
void Copy(Warp& warp, const Instruction& i) {
  const CopyShape& shape = *static_cast<const CopyShape*>(i.extra);
  const Ctas ctas = TensorGroup(warp, i);
  std::uint64_t to[kLanes], from[kLanes];
  warp.GetAddresses(i.operands[0], to);
  warp.GetBits(i.operands[1], from);
  ForEachLane(warp, i, [&](int lane) {
    const TensorAddress at(static_cast<std::uint32_t>(to[lane]));
    if (at.lane != 0 && (shape.rows != 4 || at.lane >= kLanes))
      throw warp.Fault(i, lane, fmt::format("it cannot begin at lane {} of tensor memory", at.lane));
    const MatrixDescriptor descriptor = MatrixDescriptor::OfTcgen05(from[lane]);
    TellPieces(warp, i, lane, ctas, descriptor, Major::kK, shape.rows, shape.bits, 1);
    std::vector<TensorWords> words;
    for (Cta* const cta : ctas)
      for (const CopyPart& part : shape.parts)
        if (cta != nullptr)
          words.push_back({cta, at.lane + part.lane, part.rows, at.column, shape.bits / 32, false, true});
    TellWords(warp, i, lane, words);
    warp.cta().cluster().async().Add(
        std::make_unique<CopyWork>(warp, i, static_cast<std::uint32_t>(lane), ctas, shape, descriptor, at));
  });
}

void PrepareCopy(Decoder& decoder, Instruction& out) {
  PrepareTensor(decoder, out);
  out.extra = &CopyShapeOf(decoder.form());
}

// The end.

/// Arrives on barriers, behind what was given to the tensor core before.
class CommitWork final : public TensorCoreWork {
 public:
  using TensorCoreWork::TensorCoreWork;
  void Do() override {
    Observer* const observer = warp().observer();
    for (const SharedPlace& barrier : barriers) {
      CheckAlive(*barrier.cta);
      if (observer != nullptr) observer->OnSignal(*this, MeetingAt(barrier));
      barrier.cta->mbarriers().Arrive(barrier.address);
    }
  }

  std::vector<SharedPlace> barriers;
};

/// Operands: the barrier, and the mask of CTAs with .multicast::cluster.
void Commit(Warp& warp, const Instruction& i) {
  const Ctas ctas = TensorGroup(warp, i);
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(i.operands[0], addresses);
  ForEachLane(warp, i, [&](int lane) {
    const SharedPlace place = PlaceOf(warp, i, lane, addresses[lane], static_cast<Window>(i.options[1]));
    auto work = std::make_unique<CommitWork>(warp, i, static_cast<std::uint32_t>(lane), ctas);
    for (Cta* const cta : Destinations(warp, i, lane, place, i.options[2] != 0 ? &i.operands[1] : nullptr))
      work->barriers.push_back({cta, place.address});
    if (Observer* const observer = warp.observer()) observer->OnTensorCommit(*work, lane);
    warp.cta().cluster().async().Add(std::move(work));
  });
}

void PrepareCommit(Decoder& decoder, Instruction& out) {
  PrepareTensor(decoder, out);
  const bool multicast = decoder.form().Has("multicast::cluster");
  if (decoder.operand_count() != (multicast ? 2u : 1u)) throw decoder.Refuse("it has operands too many or too few");
  out.options[1] = static_cast<std::uint8_t>(FindWindow(decoder.form()));
  out.options[2] = multicast ? 1 : 0;
  decoder.Push(decoder.Address(decoder.operand(0)));
  if (multicast) decoder.Push(decoder.Source(decoder.operand(1), ScalarType::kB16));
}

#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }
#define GEMMSMITH_GROUP ".{cta_group::1,cta_group::2}"
#define GEMMSMITH_COPY(shape) \
  { "tcgen05.cp" GEMMSMITH_GROUP "." shape, "a sb64", Category::kCopy, 86, 100, GEMMSMITH_EXECUTE(Copy), PrepareCopy }

constexpr Row kRows[] = {
    {"tcgen05.mma" GEMMSMITH_GROUP ".{kind::f16,kind::tf32,kind::f8f6f4,kind::i8}"
     "[.{collector::a::fill,collector::a::use,collector::a::lastuse,collector::a::discard}]",
     "", Category::kMatrix, 86, 100, GEMMSMITH_EXECUTE(Multiply), PrepareProduct},
    {"tcgen05.commit" GEMMSMITH_GROUP ".mbarrier::arrive::one[.shared::cluster][.multicast::cluster].b64", "",
     Category::kMatrix, 86, 100, GEMMSMITH_EXECUTE(Commit), PrepareCommit},
    GEMMSMITH_COPY("{128x256b,128x128b,4x256b}"),
    GEMMSMITH_COPY("64x128b.{warpx2::02_13,warpx2::01_23}"),
    GEMMSMITH_COPY("32x128b.warpx4"),
    // Assemblers take the two words in either order.
    GEMMSMITH_COPY("{warpx2::02_13,warpx2::01_23}.64x128b"),
    GEMMSMITH_COPY("warpx4.32x128b"),
};

}  // namespace

std::span<const Row> TensorProductRows() { return kRows; }

}  // namespace gemmsmith::emulator
