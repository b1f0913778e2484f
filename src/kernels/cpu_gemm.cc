#include "kernels/cpu_gemm.h"

#include <array>
#include <charconv>

#include "util/log.h"

namespace gemmsmith {
namespace {

struct Number {
  std::string_view name;
  int MicroKernelRecipe::*value;
};
constexpr std::array kNumbers = {
    Number{"mr", &MicroKernelRecipe::mr},         Number{"nr", &MicroKernelRecipe::nr},
    Number{"m_tail", &MicroKernelRecipe::m_tail}, Number{"n_tail", &MicroKernelRecipe::n_tail},
    Number{"dots", &MicroKernelRecipe::dots},
};

/// Cuts the first word off `text`.
std::string_view NextWord(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

}  // namespace

std::string ToString(const MicroKernelRecipe& recipe) {
  std::string text(ToString(recipe.dtype));
  for (const Number& number : kNumbers) text += fmt::format(" {}={}", number.name, recipe.*number.value);
  return text;
}

MicroKernelRecipe ParseRecipe(std::string_view text) {
  std::string_view rest = text;
  MicroKernelRecipe recipe;
  recipe.dtype = ParseDType(NextWord(rest));
  for (const Number& number : kNumbers) {
    const std::string_view word = NextWord(rest);
    const char* const end = word.data() + word.size();
    const bool named = word.starts_with(number.name) && word.substr(number.name.size()).starts_with('=');
    const auto parsed = named ? std::from_chars(word.data() + number.name.size() + 1, end, recipe.*number.value)
                              : std::from_chars_result{word.data(), std::errc::invalid_argument};
    if (parsed.ec != std::errc() || parsed.ptr != end || recipe.*number.value < 0)
      throw Fail(Code::kInternal, "", "micro-kernel recipe \"{}\": expected {}=N, found \"{}\"", text, number.name,
                 word);
  }
  if (!rest.empty()) throw Fail(Code::kInternal, "", "micro-kernel recipe \"{}\": \"{}\" is left over", text, rest);
  return recipe;
}

}  // namespace gemmsmith
