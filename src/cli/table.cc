#include "cli/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace gemmsmith::cli {

void Table::Row(const std::vector<std::string>& cells) {
  if (!begun_) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    Print(titles);
    begun_ = true;
  }
  Print(cells);
}

void Table::Print(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::size_t width = static_cast<std::size_t>(std::abs(columns_[i].width));
    std::string cell = cells.at(i);
    if (cell.size() > width) cell = cell.substr(0, width - 2) + "..";
    if (i > 0) line += ' ';
    line += columns_[i].width < 0 ? fmt::format("{:<{}}", cell, width) : fmt::format("{:>{}}", cell, width);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

std::string Number(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : "inf";
  if (value != 0 && std::fabs(value) < 1e-3) return fmt::format("{:.2e}", value);
  const int digits = value == 0 ? 0 : std::max(0, 2 - static_cast<int>(std::floor(std::log10(std::fabs(value)))));
  return fmt::format("{:.{}f}", value, digits);
}

std::string Bytes(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return Number(bytes) + " " + units[unit];
}

}  // namespace gemmsmith::cli
