#include "kernels/cpu_gemm.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "gemmsmith/epilogue.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr CpuMathInfo kMaths[] = {{"f32", 4, 1, DType::kF32}, {"f64", 8, 1, DType::kF64},  {"bf16", 4, 2, DType::kF32},
                                  {"s16", 4, 2, DType::kS32}, {"u8s8", 4, 4, DType::kS32}, {"s8u8", 4, 4, DType::kS32}};

CpuMath ParseMath(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kMaths); ++i)
    if (kMaths[i].name == name) return static_cast<CpuMath>(i);
  throw Fail(Code::kInternal, "", "micro-kernel recipe: unknown math \"{}\"", name);
}

struct Number {
  std::string_view name;
  int MicroKernelRecipe::*value;
};
constexpr Number kNumbers[] = {{"mr", &MicroKernelRecipe::mr},
                               {"nr", &MicroKernelRecipe::nr},
                               {"m_tail", &MicroKernelRecipe::m_tail},
                               {"n_tail", &MicroKernelRecipe::n_tail},
                               {"dots", &MicroKernelRecipe::dots},
                               {"starts", &MicroKernelRecipe::starts},
                               {"fetch", &MicroKernelRecipe::fetch},
                               {"fetch_every", &MicroKernelRecipe::fetch_every},
                               {"joins", &MicroKernelRecipe::joins},
                               {"sweep", &MicroKernelRecipe::sweep},
                               {"tail_steps", &MicroKernelRecipe::tail_steps},
                               {"far", &MicroKernelRecipe::far},
                               {"narrow", &MicroKernelRecipe::narrow},
                               {"keeps", &MicroKernelRecipe::keeps},
                               {"adjacent", &MicroKernelRecipe::adjacent},
                               {"columns_per_d", &MicroKernelRecipe::columns_per_d}};

struct Type {
  std::string_view name;
  DType MicroKernelRecipe::*value;
};
constexpr Type kTypes[] = {{"d", &MicroKernelRecipe::d_type},
                           {"bias", &MicroKernelRecipe::bias_type},
                           {"residual", &MicroKernelRecipe::residual_type}};

/// Cuts "name=value " off `text`; empty: something else is there.
std::string_view NextValue(std::string_view& text, std::string_view name) {
  if (!text.starts_with(name) || !text.substr(name.size()).starts_with('=')) return {};
  text.remove_prefix(name.size() + 1);
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view value = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return value;
}

template <class T>
T NextNumber(std::string_view& text, std::string_view name, int base) {
  const std::string_view from = text, value = NextValue(text, name);
  T number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number, base);
  if (value.empty() || parsed.ec != std::errc() || parsed.ptr != value.data() + value.size())
    throw Fail(Code::kInternal, "", "micro-kernel recipe: expected {}=N, found \"{}\"", name, from);
  return number;
}

}  // namespace

const CpuMathInfo& Info(CpuMath math) { return kMaths[static_cast<std::size_t>(math)]; }

std::string ToString(const MicroKernelRecipe& recipe) {
  std::string text = fmt::format("math={}", Info(recipe.math).name);
  for (const Type& type : kTypes) text += fmt::format(" {}={}", type.name, ToString(recipe.*type.value));
  for (const Number& number : kNumbers) text += fmt::format(" {}={}", number.name, recipe.*number.value);
  text += fmt::format(" epilogue={:x}", recipe.epilogue_id);
  if (recipe.epilogue_id == 0) return text;
  const std::optional<Epilogue> epilogue = Epilogue::Find(recipe.epilogue_id);
  return text + "\n" + (epilogue ? epilogue->text() : "");
}

MicroKernelRecipe ParseRecipe(std::string_view text) {
  std::string_view rest = text.substr(0, text.find('\n'));
  MicroKernelRecipe recipe;
  recipe.math = ParseMath(NextValue(rest, "math"));
  for (const Type& type : kTypes) recipe.*type.value = ParseDType(NextValue(rest, type.name));
  for (const Number& number : kNumbers) {
    recipe.*number.value = NextNumber<int>(rest, number.name, 10);
    if (recipe.*number.value < 0)
      throw Fail(Code::kInternal, "", "micro-kernel recipe: {} is {}", number.name, recipe.*number.value);
  }
  recipe.epilogue_id = NextNumber<std::uint64_t>(rest, "epilogue", 16);
  if (!rest.empty()) throw Fail(Code::kInternal, "", "micro-kernel recipe: \"{}\" is left over", rest);
  if (recipe.epilogue_id != 0 && !Epilogue::Find(recipe.epilogue_id))
    throw Fail(Code::kInternal, "", "this process has made no epilogue {:016x}", recipe.epilogue_id);
  return recipe;
}

}  // namespace gemmsmith
