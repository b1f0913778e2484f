// Loads and stores of all spaces.
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/machine/access.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

/// Loads and stores keep in options: the window, and how many elements.
Window WindowOption(const Instruction& i) { return static_cast<Window>(i.options[0]); }

/// Operands: destinations, then the address. Narrow signed values are extended to what the register holds.
template <class T>
void Load(Warp& warp, const Instruction& i) {
  const unsigned count = i.options[1];
  std::byte* at[kLanes];
  Resolve(warp, i, i.operands[count], WindowOption(i), AccessKind::kRead, count * sizeof(T), count * sizeof(T), at);
  for (unsigned k = 0; k < count; ++k) {
    const Operand& to = i.operands[k];
    if (to.lane_bytes == sizeof(T)) {
      T out[kLanes];
      if (warp.mask() == kAllLanes) {
        for (int l = 0; l < kLanes; ++l) std::memcpy(&out[l], at[l] + k * sizeof(T), sizeof(T));
      } else {
        for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
          const int l = std::countr_zero(m);
          std::memcpy(&out[l], at[l] + k * sizeof(T), sizeof(T));
        }
      }
      warp.Put(to, out);
    } else {
      std::uint64_t out[kLanes];
      for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
        const int l = std::countr_zero(m);
        T value;
        std::memcpy(&value, at[l] + k * sizeof(T), sizeof(T));
        out[l] = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
      }
      warp.PutBits(to, out);
    }
  }
}

void Load128(Warp& warp, const Instruction& i) {
  std::byte* at[kLanes];
  const unsigned count = i.options[1];
  Resolve(warp, i, i.operands[count], WindowOption(i), AccessKind::kRead, count * 16, count * 16, at);
  for (unsigned k = 0; k < count; ++k)
    for (std::uint32_t m = warp.mask(); m != 0 && !i.operands[k].sink; m &= m - 1) {
      const int l = std::countr_zero(m);
      std::memcpy(warp.Out(i.operands[k]) + 16 * l, at[l] + 16 * k, 16);
    }
}

/// Operands: the address, then the values. Of registers that are wider, the low bits.
template <class T>
void Store(Warp& warp, const Instruction& i) {
  const unsigned count = i.options[1];
  std::byte* at[kLanes];
  Resolve(warp, i, i.operands[0], WindowOption(i), AccessKind::kWrite, count * sizeof(T), count * sizeof(T), at);
  for (unsigned k = 0; k < count; ++k) {
    const Operand& from = i.operands[k + 1];
    const std::byte* const in = warp.In(from);
    if (warp.mask() == kAllLanes && !warp.cta().cluster().watched) {
      for (std::size_t l = 0; l < kLanes; ++l) std::memcpy(at[l] + k * sizeof(T), in + l * from.lane_bytes, sizeof(T));
      continue;
    }
    for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
      const int l = std::countr_zero(m);
      const std::byte* const value = in + static_cast<std::size_t>(l) * from.lane_bytes;
      NoteStore(warp, at[l] + k * sizeof(T), value, sizeof(T));
      std::memcpy(at[l] + k * sizeof(T), value, sizeof(T));
    }
  }
}
struct Bytes16 {
  std::array<std::byte, 16> bytes;
};

/// A kernel's parameter: the same for all lanes.
void LoadKernelParameter(Warp& warp, const Instruction& i) {
  const unsigned count = i.options[1], bytes = i.options[2];
  const bool is_signed = i.options[3] != 0;
  const std::byte* from = warp.cta().launch().parameters.data() + i.operands[count].offset;
  for (unsigned k = 0; k < count; ++k, from += bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, from, std::min(bytes, 8u));
    if (is_signed) {
      const unsigned shift = 64 - 8 * bytes;
      value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
    }
    std::uint64_t out[kLanes];
    for (std::uint64_t& o : out) o = value;
    warp.PutBits(i.operands[k], out);
  }
}

/// Parameters of calls lie in the frame, one lane's after the other's: the slot of lane 0, and bytes from each to next.
template <bool kLoad>
void FrameParameter(Warp& warp, const Instruction& i) {
  const unsigned count = i.options[1], bytes = i.options[2];
  const bool is_signed = i.options[3] != 0;
  const Operand& place = i.operands[kLoad ? count : 0];
  const std::uint64_t stride = i.target;
  std::byte* const base = warp.frame().registers + place.slot + place.offset;
  for (unsigned k = 0; k < count; ++k) {
    const Operand& value = i.operands[kLoad ? k : k + 1];
    std::uint64_t bits[kLanes] = {};
    if (!kLoad) warp.GetBits(value, bits);
    for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
      const int l = std::countr_zero(m);
      std::byte* const at = base + static_cast<std::uint64_t>(l) * stride + k * bytes;
      if (!kLoad) {
        std::memcpy(at, &bits[l], bytes);
        continue;
      }
      std::memcpy(&bits[l], at, bytes);
      const unsigned shift = 64 - 8 * bytes;
      if (is_signed) bits[l] = static_cast<std::uint64_t>(static_cast<std::int64_t>(bits[l] << shift) >> shift);
    }
    if (kLoad) warp.PutBits(value, bits);
  }
}

template <template <class> class Op>
Execute ForMemoryType(ScalarType type) {
  switch (ptx::Bits(type)) {
    case 8:
      return ptx::IsSigned(type) ? Op<std::int8_t>::Run : Op<std::uint8_t>::Run;
    case 16:
      return ptx::IsSigned(type) ? Op<std::int16_t>::Run : Op<std::uint16_t>::Run;
    case 32:
      return ptx::IsSigned(type) ? Op<std::int32_t>::Run : Op<std::uint32_t>::Run;
    case 64:
      return Op<std::uint64_t>::Run;
    default:
      return nullptr;
  }
}
template <class T>
struct LoadOf {
  static void Run(Warp& warp, const Instruction& i) { Load<T>(warp, i); }
};
template <class T>
struct StoreOf {
  static void Run(Warp& warp, const Instruction& i) { Store<T>(warp, i); }
};
Execute SelectLoad(const Form& form) {
  return ptx::Bits(form.type()) == 128 ? Load128 : ForMemoryType<LoadOf>(form.type());
}
Execute SelectStore(const Form& form) {
  return ptx::Bits(form.type()) == 128 ? Store<Bytes16> : ForMemoryType<StoreOf>(form.type());
}

void CheckCount(Decoder& decoder, Instruction& out, std::size_t count) {
  const Form& form = decoder.form();
  const std::size_t expected = form.Has("v8") ? 8 : form.Has("v4") ? 4 : form.Has("v2") ? 2 : 1;
  if (count != expected)
    throw decoder.Refuse(fmt::format("{} registers, not {}, make up its operand", expected, count));
  const auto bytes = static_cast<std::size_t>(ptx::Bits(form.type()) / 8);
  if (count * bytes > 32) throw decoder.Refuse("an access has at most 32 bytes");
  out.options[1] = static_cast<std::uint8_t>(count);
  out.options[2] = static_cast<std::uint8_t>(bytes);
  out.options[3] = ptx::IsSigned(form.type()) ? 1 : 0;
}

void PushValues(Decoder& decoder, const ptx::Operand& given, bool load) {
  const ScalarType type = decoder.form().type();
  const auto push = [&](const ptx::Operand& part) {
    decoder.Push(load ? decoder.Destination(part, type, true) : decoder.Source(part, type, true));
  };
  if (given.kind != ptx::Operand::Kind::kVector) return push(given);
  for (const ptx::Operand& part : given.parts) push(part);
}

/// The operand for [param+4] where it names a parameter.
bool PushParameter(Decoder& decoder, Instruction& out, const ptx::Operand& address, bool load) {
  if (address.name.empty() || decoder.IsRegister(address.name)) return false;
  const Symbol* const symbol = decoder.FindSymbol(address.name);
  if (symbol == nullptr) return false;
  const bool kernel = symbol->kind == Symbol::Kind::kKernelParameter;
  if (!kernel && symbol->kind != Symbol::Kind::kParameter) return false;
  const std::uint64_t bytes = std::uint64_t{out.options[1]} * out.options[2];
  if (address.offset < 0 || static_cast<std::uint64_t>(address.offset) + bytes > symbol->bytes)
    throw decoder.Refuse(fmt::format("{} has {} bytes", address.name, symbol->bytes));
  if (out.options[2] > 8) throw decoder.Refuse("parameters are accessed by 64 bits at most");
  if (kernel && !load) throw decoder.Refuse("parameters of kernels are read-only");
  Operand place;
  if (!kernel) place.slot = static_cast<std::uint32_t>(symbol->value);
  place.offset = address.offset + (kernel ? static_cast<std::int64_t>(symbol->value) : 0);
  out.target = static_cast<std::uint32_t>(symbol->bytes);
  out.execute = kernel ? LoadKernelParameter : load ? FrameParameter<true> : FrameParameter<false>;
  out.flags = 0;
  decoder.Push(place);
  return true;
}

std::size_t CountOf(const ptx::Operand& operand) {
  return operand.kind == ptx::Operand::Kind::kVector ? operand.parts.size() : 1;
}

void PrepareLoad(Decoder& decoder, Instruction& out) {
  // Behind the address there may be a cache policy, which is of no consequence.
  if (decoder.operand_count() < 2 || decoder.operand_count() > 3)
    throw decoder.Refuse("it takes a register and an address");
  CheckCount(decoder, out, CountOf(decoder.operand(0)));
  PushValues(decoder, decoder.operand(0), true);
  const ptx::Operand& address = decoder.operand(1);
  if (address.kind == ptx::Operand::Kind::kAddress && decoder.form().Has("param") &&
      PushParameter(decoder, out, address, true))
    return;
  decoder.Push(decoder.Address(address));
  PrepareMemory(decoder, out);
}

void PrepareStore(Decoder& decoder, Instruction& out) {
  if (decoder.operand_count() < 2 || decoder.operand_count() > 3)
    throw decoder.Refuse("it takes an address and a register");
  CheckCount(decoder, out, CountOf(decoder.operand(1)));
  const ptx::Operand& address = decoder.operand(0);
  const bool parameter = address.kind == ptx::Operand::Kind::kAddress && PushParameter(decoder, out, address, false);
  if (!parameter) {
    decoder.Push(decoder.Address(address));
    PrepareMemory(decoder, out);
  }
  PushValues(decoder, decoder.operand(1), false);
}

void Nothing(Warp&, const Instruction&) {}
Execute SelectNothing(const Form&) { return Nothing; }
void IgnoreOperands(Decoder&, Instruction&) {}

constexpr Category kCategory = Category::kMemory;

#define GEMMSMITH_TYPES ".{b8,b16,b32,b64,b128,u8,u16,u32,u64,s8,s16,s32,s64,f16,bf16,f16x2,bf16x2,f32,f64}"
#define GEMMSMITH_SPACE "[.{const,global,local,param,param::entry,param::func,shared,shared::cta,shared::cluster}]"
#define GEMMSMITH_SCOPE "[.{cta,cluster,gpu,sys}]"
#define GEMMSMITH_HINTS                                                                                            \
  "[.{ca,cg,cs,lu,cv,wb,wt}][.{L1::evict_normal,L1::evict_unchanged,L1::evict_first,L1::evict_last,"               \
  "L1::no_allocate}][.{L2::evict_normal,L2::evict_first,L2::evict_last}][.L2::cache_hint][.{L2::64B,L2::128B,L2::" \
  "256B}]"

constexpr Row kRows[] = {
    {"ld[.{weak,relaxed,acquire,volatile,mmio}][.mmio]" GEMMSMITH_SCOPE GEMMSMITH_SPACE GEMMSMITH_HINTS "[.unified]"
     "[.{v2,v4,v8}]" GEMMSMITH_TYPES,
     "", kCategory, 10, 0, SelectLoad, PrepareLoad},
    {"ld[.weak].global[.{ca,cg,cs}].nc" GEMMSMITH_HINTS "[.{v2,v4,v8}]" GEMMSMITH_TYPES, "", kCategory, 31, 32,
     SelectLoad, PrepareLoad},
    {"ldu[.global][.{v2,v4}]" GEMMSMITH_TYPES, "", kCategory, 20, 0, SelectLoad, PrepareLoad},
    {"st[.{weak,relaxed,release,volatile,mmio}][.mmio]" GEMMSMITH_SCOPE GEMMSMITH_SPACE GEMMSMITH_HINTS
     "[.{v2,v4,v8}]" GEMMSMITH_TYPES,
     "", kCategory, 10, 0, SelectStore, PrepareStore},
    {"prefetch[.{global,local,const,param}].{L1,L2,L2::evict_last,L2::evict_normal}", "", kCategory, 20, 0,
     SelectNothing, IgnoreOperands},
    {"prefetch[.{const,param}].tensormap", "", kCategory, 80, 90, SelectNothing, IgnoreOperands},
    {"prefetchu.L1", "", kCategory, 20, 0, SelectNothing, IgnoreOperands},
    {"applypriority[.global].L2::evict_normal", "", kCategory, 74, 80, SelectNothing, IgnoreOperands},
    {"discard[.global].L2", "", kCategory, 74, 80, SelectNothing, IgnoreOperands},
    {"createpolicy.{fractional,range}[.global].{L2::evict_last,L2::evict_normal,L2::evict_first,L2::evict_unchanged}"
     "[.{L2::evict_first,L2::evict_unchanged}].b64",
     "", kCategory, 74, 80, SelectNothing, IgnoreOperands},
    {"createpolicy.cvt.L2.b64", "", kCategory, 74, 80, SelectNothing, IgnoreOperands},
};

}  // namespace

Window FindWindow(const Form& form) {
  if (form.Has("global")) return Window::kGlobal;
  if (form.Has("shared::cluster")) return Window::kSharedCluster;
  if (form.Has("shared") || form.Has("shared::cta")) return Window::kShared;
  if (form.Has("local")) return Window::kLocal;
  return form.Has("const") ? Window::kConst : Window::kGeneric;
}

void PrepareMemory(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const Window window = FindWindow(form);
  out.options[0] = static_cast<std::uint8_t>(window);
  const bool strong =
      form.Has("relaxed") || form.Has("acquire") || form.Has("release") || form.Has("volatile") || form.Has("mmio");
  if (!strong) return;
  out.flags |= kPolls;
  // Of one CTA's scope nothing outside of the CTA may depend.
  if ((window == Window::kGlobal || window == Window::kGeneric) && !form.Has("cta")) out.flags |= kCommunicates;
}

std::span<const Row> MemoryRows() { return kRows; }

}  // namespace gemmsmith::emulator
