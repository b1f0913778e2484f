// mov, selp, cvta and the like: values as they are.
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {
namespace {

using Kind = ptx::Operand::Kind;
using ptx::ScalarType;

template <class T>
void Move(Warp& warp, const Instruction& i) {
  const auto in = warp.Get<T>(i.operands[1]);
  T out[kLanes];
  for (int l = 0; l < kLanes; ++l) out[l] = in[l];
  warp.Put(i.operands[0], out);
}

void MovePredicate(Warp& warp, const Instruction& i) {
  warp.PutPredicate(i.operands[0], warp.GetPredicate(i.operands[1]));
}

/// Sixteen bytes per lane: Warp::Put knows no such type.
void Move128(Warp& warp, const Instruction& i) {
  if (i.operands[0].sink) return;
  const std::byte* const in = warp.In(i.operands[1]);
  std::byte* const out = warp.Out(i.operands[0]);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(m));
    std::memcpy(out + 16 * lane, in + 16 * lane, 16);
  }
}

/// Address of a local variable: where the frame's part of local memory begins, plus operand 1.
void MoveLocalAddress(Warp& warp, const Instruction& i) {
  std::uint64_t out[kLanes];
  warp.GetAddresses(i.operands[1], out);
  warp.PutBits(i.operands[0], out);
}

/// Address of a kernel parameter: the launch's copy.
void MoveParameterAddress(Warp& warp, const Instruction& i) {
  std::uint64_t out[kLanes];
  const std::uint64_t base = ParameterAddress(warp);
  for (std::uint64_t& address : out) address = base + static_cast<std::uint64_t>(i.operands[1].offset);
  warp.PutBits(i.operands[0], out);
}

/// {a, b, ...} -> d: the first is the lowest.
void Pack(Warp& warp, const Instruction& i) {
  const unsigned bits = i.options[0];
  std::uint64_t out[kLanes] = {}, part[kLanes];
  for (unsigned k = 1; k < i.count; ++k) {
    warp.GetBits(i.operands[k], part);
    const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    for (int l = 0; l < kLanes; ++l) out[l] |= (part[l] & mask) << (bits * (k - 1));
  }
  warp.PutBits(i.operands[0], out);
}

/// d -> {a, b, ...}; the source is the last operand.
void Unpack(Warp& warp, const Instruction& i) {
  const unsigned bits = i.options[0];
  const unsigned parts = i.count - 1u;
  std::uint64_t in[kLanes], part[kLanes];
  warp.GetBits(i.operands[parts], in);
  for (unsigned k = 0; k < parts; ++k) {
    const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    for (int l = 0; l < kLanes; ++l) part[l] = in[l] >> (bits * k) & mask;
    warp.PutBits(i.operands[k], part);
  }
}

/// 128 bits from or to two registers of 64, or four of 32.
void Pack128(Warp& warp, const Instruction& i) {
  const std::size_t bytes = i.options[0] / 8;
  for (unsigned k = 1; k < i.count; ++k)
    for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(m));
      std::memcpy(warp.Out(i.operands[0]) + 16 * lane + bytes * (k - 1), warp.In(i.operands[k]) + bytes * lane, bytes);
    }
}
void Unpack128(Warp& warp, const Instruction& i) {
  const std::size_t bytes = i.options[0] / 8;
  const unsigned parts = i.count - 1u;
  for (unsigned k = 0; k < parts; ++k)
    for (std::uint32_t m = warp.mask(); m != 0 && !i.operands[k].sink; m &= m - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(m));
      std::memcpy(warp.Out(i.operands[k]) + bytes * lane, warp.In(i.operands[parts]) + 16 * lane + bytes * k, bytes);
    }
}

ScalarType BitsType(int bits) {
  switch (bits) {
    case 8:
      return ScalarType::kB8;
    case 16:
      return ScalarType::kB16;
    case 32:
      return ScalarType::kB32;
    case 64:
      return ScalarType::kB64;
    default:
      return ScalarType::kNone;
  }
}

void PrepareVector(Decoder& decoder, Instruction& out, ScalarType type) {
  const ptx::Operand &to = decoder.operand(0), &from = decoder.operand(1);
  const bool pack = from.kind == Kind::kVector;
  const ptx::Operand& vector = pack ? from : to;
  if (pack == (to.kind == Kind::kVector) || vector.parts.empty()) throw decoder.Refuse("one side must be a vector");
  const int bits = ptx::Bits(type) / static_cast<int>(vector.parts.size());
  const ScalarType part = BitsType(bits);
  if (part == ScalarType::kNone || bits * static_cast<int>(vector.parts.size()) != ptx::Bits(type))
    throw decoder.Refuse("the parts must be of equal size and fill the whole");
  if (pack) decoder.Push(decoder.Destination(to, type));
  // Parts of 8 bits are held in registers of 16.
  for (const ptx::Operand& p : vector.parts)
    decoder.Push(pack ? decoder.Source(p, part, bits == 8) : decoder.Destination(p, part, bits == 8));
  if (!pack) decoder.Push(decoder.Source(from, type));
  out.options[0] = static_cast<std::uint8_t>(bits);
  if (ptx::Bits(type) == 128)
    out.execute = pack ? Pack128 : Unpack128;
  else
    out.execute = pack ? Pack : Unpack;
}

void PrepareMove(Decoder& decoder, Instruction& out) {
  if (decoder.operand_count() != 2) throw decoder.Refuse("it takes two operands");
  const ptx::Operand &to = decoder.operand(0), &from = decoder.operand(1);
  const ScalarType type = decoder.form().type();
  if (to.kind == Kind::kVector || from.kind == Kind::kVector) return PrepareVector(decoder, out, type);
  decoder.Push(decoder.Destination(to, type));
  const Symbol* const symbol =
      from.kind == Kind::kName && !decoder.IsRegister(from.name) ? decoder.FindSymbol(from.name) : nullptr;
  if (symbol != nullptr && symbol->kind == Symbol::Kind::kLocal) {
    Operand address = decoder.Constant(symbol->value + static_cast<std::uint64_t>(from.offset), 0, 8);
    address.in_frame = true;
    decoder.Push(address);
    out.execute = MoveLocalAddress;
  } else if (symbol != nullptr && symbol->kind == Symbol::Kind::kKernelParameter) {
    Operand address;
    address.offset = static_cast<std::int64_t>(symbol->value) + from.offset;
    decoder.Push(address);
    out.execute = MoveParameterAddress;
  } else {
    decoder.Push(decoder.Source(from, type));
  }
}

Execute SelectMove(const Form& form) {
  switch (ptx::Bits(form.type())) {
    case 1:
      return MovePredicate;
    case 64:
      return Move<std::uint64_t>;
    case 128:
      return Move128;
    default:
      return Move<std::uint32_t>;
  }
}

template <class T>
T Select(T a, T b, bool choice) {
  return choice ? a : b;
}
template <class T>
T SelectBySign(T a, T b, std::int32_t c) {
  return c >= 0 ? a : b;
}
template <class T>
T SelectByFloat(T a, T b, float c) {
  return c >= 0 ? a : b;
}
template <class T>
T SelectByFloatFlushed(T a, T b, float c) {
  return c >= 0 || std::abs(c) < 0x1p-126f ? a : b;
}

/// Adds or takes away the window of a space: operand 1's addresses are that space's, or generic.
template <bool kToSpace>
void ConvertAddress(Warp& warp, const Instruction& i) {
  const std::uint64_t window = i.options[0] == 0 ? 0 : std::uint64_t{i.options[0]} << kWindowShift;
  std::uint64_t values[kLanes];
  warp.GetBits(i.operands[1], values);
  for (std::uint64_t& value : values)
    value = kToSpace ? value & ~(std::uint64_t{0xff} << kWindowShift) : value | window;
  warp.PutBits(i.operands[0], values);
}

std::uint8_t WindowOf(const Form& form) {
  if (form.Has("shared") || form.Has("shared::cta") || form.Has("shared::cluster"))
    return kSharedWindow >> kWindowShift;
  return form.Has("local") ? kLocalWindow >> kWindowShift : 0;
}

/// A symbol in the operand's place is an address of its space already.
void PrepareConvertAddress(Decoder& decoder, Instruction& out) {
  if (decoder.operand_count() != 2) throw decoder.Refuse("it takes two operands");
  const ptx::Operand& from = decoder.operand(1);
  decoder.Push(decoder.Destination(decoder.operand(0), decoder.form().type()));
  const Symbol* const symbol =
      from.kind == Kind::kName && !decoder.IsRegister(from.name) ? decoder.FindSymbol(from.name) : nullptr;
  out.options[0] = WindowOf(decoder.form());
  if (symbol != nullptr && symbol->kind == Symbol::Kind::kKernelParameter) {
    Operand address;
    address.offset = static_cast<std::int64_t>(symbol->value) + from.offset;
    decoder.Push(address);
    out.execute = MoveParameterAddress;
    return;
  }
  decoder.Push(decoder.Source(from, decoder.form().type()));
}

void IsSpace(Warp& warp, const Instruction& i) {
  std::uint64_t addresses[kLanes];
  warp.GetBits(i.operands[1], addresses);
  std::uint32_t bits = 0;
  for (int l = 0; l < kLanes; ++l)
    bits |= static_cast<std::uint32_t>(addresses[l] >> kWindowShift == i.options[0]) << l;
  if (i.options[1] != 0) bits = 0;
  warp.PutPredicate(i.operands[0], bits);
}

/// Constants and kernel parameters lie in global memory here; only the launch's own copy could be told from the rest.
void PrepareIsSpace(Decoder& decoder, Instruction& out) {
  out.options[0] = WindowOf(decoder.form());
  out.options[1] = decoder.form().Has("const") || decoder.form().Has("param") ? 1 : 0;
}

constexpr Category kCategory = Category::kMove;
#define GEMMSMITH_BITS(function)                                                                           \
  [](const Form& form) -> Execute {                                                                        \
    return ForBits(form.type(), [](auto zero) -> Execute { return Map<&function<decltype(zero)>>::Run; }); \
  }

constexpr Row kRows[] = {
    {"mov.{pred,b16,b32,b64,b128,u16,u32,u64,s16,s32,s64,f16,bf16,f16x2,bf16x2,f32,f64}", "", kCategory, 10, 0,
     SelectMove, PrepareMove},
    {"selp.{b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64,f16,bf16,f16x2,bf16x2}", "d s s spred", kCategory, 10, 0,
     GEMMSMITH_BITS(Select)},
    {"slct.{b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64}.s32", "d s s s1", kCategory, 10, 0,
     GEMMSMITH_BITS(SelectBySign)},
    {"slct.ftz.{b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64}.f32", "d s s s1", kCategory, 10, 0,
     GEMMSMITH_BITS(SelectByFloatFlushed)},
    {"slct.{b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64}.f32", "d s s s1", kCategory, 10, 0,
     GEMMSMITH_BITS(SelectByFloat)},
    {"cvta.to.{global,shared,shared::cta,shared::cluster,local,const,param}.{u32,u64}", "d s", kCategory, 20, 0,
     [](const Form&) -> Execute { return ConvertAddress<true>; }},
    {"cvta.{global,shared,shared::cta,shared::cluster,local,const,param}.{u32,u64}", "", kCategory, 20, 0,
     [](const Form&) -> Execute { return ConvertAddress<false>; }, PrepareConvertAddress},
    {"isspacep.{global,shared,shared::cta,shared::cluster,local,const,param}", "dpred sb64", kCategory, 20, 0,
     [](const Form&) -> Execute { return IsSpace; }, PrepareIsSpace},
};

}  // namespace

std::uint64_t ParameterAddress(const Warp& warp) {
  return reinterpret_cast<std::uint64_t>(warp.cta().launch().parameters.data());
}

std::span<const Row> MoveRows() { return kRows; }

}  // namespace gemmsmith::emulator
