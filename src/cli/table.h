#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

namespace gemmsmith::cli {

/// A column of `width` characters; negative: to the left. Longer texts are cut.
struct Column {
  std::string title;
  int width;
};

/// Prints rows as they come to stdout; the title line before the first.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void Row(const std::vector<std::string>& cells);

 private:
  void Print(const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  bool begun_ = false;
};

/// A measured number with three significant digits or none after the point: 0.0123, 4.56, 1234.
std::string Number(double value);
/// "512 B", "12.3 KiB", ...
std::string Bytes(double bytes);

}  // namespace gemmsmith::cli
