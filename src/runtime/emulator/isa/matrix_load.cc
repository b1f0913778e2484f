// ldmatrix, stmatrix, movmatrix.
#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/machine/cta.h"
#include "runtime/emulator/tensor_memory/fragments.h"

namespace gemmsmith::emulator {
namespace {

constexpr int kMaxMatrices = 4;
constexpr std::uint32_t kRowBytes = 16;

/// The rows that lanes 0 to 8 * count - 1 address.
void ResolveRows(Warp& warp, const Instruction& i, const Operand& address, AccessKind kind,
                 std::byte* (&rows)[kLanes]) {
  const int count = i.options[1];
  const std::uint32_t lanes = count == 4 ? kAllLanes : (1u << (8 * count)) - 1;
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(address, addresses);
  for (int l = 0; l < kLanes; ++l)
    if ((lanes >> l & 1) == 0) addresses[l] = addresses[0];  // Of no meaning, whatever they are.
  ResolveAt(warp, i, addresses, static_cast<Window>(i.options[0]), kind, kRowBytes, kRowBytes, lanes, rows);
}

/// Operands: the registers, the address.
void LoadMatrix(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const int count = i.options[1];
  std::byte* rows[kLanes];
  ResolveRows(warp, i, i.operands[count], AccessKind::kRead, rows);
  std::uint32_t values[kMaxMatrices][kLanes];
  std::uint32_t* const registers[kMaxMatrices] = {values[0], values[1], values[2], values[3]};
  LoadMatrices(count, i.options[2] != 0, rows, registers);
  for (int r = 0; r < count; ++r) warp.Put(i.operands[r], values[r]);
}

/// Operands: the address, the registers.
void StoreMatrix(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const int count = i.options[1];
  std::byte* rows[kLanes];
  ResolveRows(warp, i, i.operands[0], AccessKind::kWrite, rows);
  std::uint32_t values[kMaxMatrices][kLanes];
  const std::uint32_t* registers[kMaxMatrices];
  for (int r = 0; r < count; ++r) {
    const auto from = warp.Get<std::uint32_t>(i.operands[1 + r]);
    for (int l = 0; l < kLanes; ++l) values[r][l] = from[l];
    registers[r] = values[r];
  }
  StoreMatrices(count, i.options[2] != 0, registers, rows);
  ++warp.cta().cluster().changes;
}

void MoveMatrix(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const auto from = warp.Get<std::uint32_t>(i.operands[1]);
  std::uint32_t in[kLanes], out[kLanes];
  for (int l = 0; l < kLanes; ++l) in[l] = from[l];
  TransposeMatrix(in, out);
  warp.Put(i.operands[0], out);
}

template <bool kLoad>
void PrepareMatrix(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  if (decoder.operand_count() != 2) throw decoder.Refuse("it takes registers and an address");
  const std::size_t count = form.Has("x4") ? 4 : form.Has("x2") ? 2 : 1;
  out.options[0] = static_cast<std::uint8_t>(FindWindow(form));
  out.options[1] = static_cast<std::uint8_t>(count);
  out.options[2] = form.Has("trans") ? 1 : 0;
  if (kLoad) PushRegisters(decoder, decoder.operand(0), count, ptx::ScalarType::kB32, true);
  decoder.Push(decoder.Address(decoder.operand(kLoad ? 1 : 0)));
  if (!kLoad) PushRegisters(decoder, decoder.operand(1), count, ptx::ScalarType::kB32, false);
}

constexpr Category kCategory = Category::kMatrix;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }

constexpr Row kRows[] = {
    {"ldmatrix.sync.aligned.m8n8.{x1,x2,x4}[.trans][.{shared,shared::cta}].b16", "", kCategory, 65, 75,
     GEMMSMITH_EXECUTE(LoadMatrix), PrepareMatrix<true>},
    {"stmatrix.sync.aligned.m8n8.{x1,x2,x4}[.trans][.{shared,shared::cta}].b16", "", kCategory, 78, 90,
     GEMMSMITH_EXECUTE(StoreMatrix), PrepareMatrix<false>},
    {"movmatrix.sync.aligned.m8n8.trans.b16", "db32 sb32", kCategory, 78, 75, GEMMSMITH_EXECUTE(MoveMatrix)},
};

}  // namespace

std::span<const Row> MatrixLoadRows() { return kRows; }

}  // namespace gemmsmith::emulator
