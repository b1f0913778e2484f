#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gemmsmith::cli {

/// Points over two logarithmic axes, coloured by what they are called.
class Chart {
 public:
  Chart(std::string title, std::string x_axis, std::string y_axis)
      : title_(std::move(title)), x_axis_(std::move(x_axis)), y_axis_(std::move(y_axis)) {}

  /// Both positive.
  void Add(const std::string& name, double x, double y) { points_.push_back({name, x, y}); }
  /// Thin lines from top to bottom.
  void MarkColumns(std::string name, std::vector<double> x) {
    columns_name_ = std::move(name);
    columns_ = std::move(x);
  }
  /// y = slope * x up to `top`, and `top` from there on.
  void MarkRoof(std::string name, double slope, double top) {
    roof_name_ = std::move(name);
    slope_ = slope, top_ = top;
  }

 private:
  friend std::string ToSvg(const std::string& title, const std::string& legend, const std::vector<Chart>& charts);
  struct Point {
    std::string name;
    double x, y;
  };
  struct Frame;

  Frame Fit() const;
  std::string Axes(const Frame& frame) const;
  std::string Marks(const Frame& frame) const;
  std::string Points(const Frame& frame, const std::vector<std::string>& names) const;

  std::string title_, x_axis_, y_axis_, columns_name_, roof_name_;
  std::vector<Point> points_;
  std::vector<double> columns_;
  double slope_ = 0, top_ = 0;
};

/// Side by side, with one legend: what the names are.
std::string ToSvg(const std::string& title, const std::string& legend, const std::vector<Chart>& charts);

}  // namespace gemmsmith::cli
