#include "runtime/emulator/ptx/ast.h"

namespace gemmsmith::emulator::ptx {
namespace {

struct TypeRow {
  std::string_view name;
  int bits;
  char kind;  ///< b, u, s, f, p
};
// In the order of ScalarType.
constexpr TypeRow kTypes[] = {
    {"", 0, ' '},        {"b8", 8, 'b'},   {"b16", 16, 'b'}, {"b32", 32, 'b'},   {"b64", 64, 'b'},  {"b128", 128, 'b'},
    {"u8", 8, 'u'},      {"u16", 16, 'u'}, {"u32", 32, 'u'}, {"u64", 64, 'u'},   {"s8", 8, 's'},    {"s16", 16, 's'},
    {"s32", 32, 's'},    {"s64", 64, 's'}, {"f16", 16, 'f'}, {"f16x2", 32, 'f'}, {"bf16", 16, 'f'}, {"bf16x2", 32, 'f'},
    {"tf32", 32, 'f'},   {"f32", 32, 'f'}, {"f64", 64, 'f'}, {"e4m3", 8, 'f'},   {"e5m2", 8, 'f'},  {"e4m3x2", 16, 'f'},
    {"e5m2x2", 16, 'f'}, {"pred", 1, 'p'},
};

const TypeRow& Row(ScalarType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace

std::optional<ScalarType> ParseScalarType(std::string_view word) {
  for (std::size_t i = 1; i < std::size(kTypes); ++i)
    if (kTypes[i].name == word) return static_cast<ScalarType>(i);
  return std::nullopt;
}

std::string_view ToString(ScalarType type) { return Row(type).name; }
int Bits(ScalarType type) { return Row(type).bits; }
bool IsSigned(ScalarType type) { return Row(type).kind == 's'; }
bool IsFloat(ScalarType type) { return Row(type).kind == 'f'; }

}  // namespace gemmsmith::emulator::ptx
