#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace gemmsmith {

/// Comma-separated values without quotes. Refers to the text it was made from.
class Csv {
 public:
  /// Throws kInvalidArgument where a row has not as many fields as the first.
  Csv(std::string_view name, std::string_view text);

  std::size_t rows() const { return fields_.size() / columns_; }
  std::size_t columns() const { return columns_; }
  std::string_view Text(std::size_t row, std::size_t column) const { return fields_[row * columns_ + column]; }
  /// Throws kInvalidArgument, naming file, line and column. What follows the number, as in "0.19ms", is not read.
  double Number(std::size_t row, std::size_t column) const;
  std::vector<double> Numbers(std::size_t first_row, std::size_t column) const;
  /// Of the column whose field in the first row is `title`; columns() if there is none.
  std::size_t Find(std::string_view title) const;

 private:
  std::string_view name_;
  std::size_t columns_ = 1;
  std::vector<std::string_view> fields_;
};

}  // namespace gemmsmith
