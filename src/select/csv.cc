#include "select/csv.h"

#include <algorithm>
#include <charconv>

#include "util/log.h"

namespace gemmsmith {
namespace {

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Calls `visit` with each piece between separators.
template <class Visit>
void Split(std::string_view text, char separator, const Visit& visit) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

}  // namespace

Csv::Csv(std::string_view name, std::string_view text) : name_(name) {
  std::size_t line_number = 0;
  Split(text, '\n', [&](std::string_view line) {
    ++line_number;
    if (Trimmed(line).empty()) return;
    const std::size_t before = fields_.size();
    Split(line, ',', [&](std::string_view field) { fields_.push_back(Trimmed(field)); });
    if (before == 0) columns_ = fields_.size();
    if (fields_.size() != before + columns_)
      throw Fail(Code::kInvalidArgument, "mend the table", "{}: line {} has {} fields, not {}", name_, line_number,
                 fields_.size() - before, columns_);
  });
}

double Csv::Number(std::size_t row, std::size_t column) const {
  const std::string_view text = Text(row, column);
  double value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{})
    throw Fail(Code::kInvalidArgument, "mend the table", "{}: row {}, column {}: \"{}\" is not a number", name_,
               row + 1, column + 1, text);
  return value;
}

std::vector<double> Csv::Numbers(std::size_t first_row, std::size_t column) const {
  std::vector<double> numbers;
  numbers.reserve(rows() - std::min(first_row, rows()));
  for (std::size_t row = first_row; row < rows(); ++row) numbers.push_back(Number(row, column));
  return numbers;
}

std::size_t Csv::Find(std::string_view title) const {
  const auto end = fields_.begin() + static_cast<std::ptrdiff_t>(std::min(columns_, fields_.size()));
  const auto at = std::find(fields_.begin(), end, title);
  return at == end ? columns_ : static_cast<std::size_t>(at - fields_.begin());
}

}  // namespace gemmsmith
