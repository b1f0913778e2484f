#include "cli/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

constexpr double kWidth = 560, kHeight = 420, kLeft = 64, kTop = 64, kRight = 16, kBottom = 56;
/// Okabe and Ito's, which nearly everybody can tell apart.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000", "#999999"};

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return escaped;
}

std::string Text(double x, double y, std::string_view text, std::string_view style = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, Escaped(text));
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

}  // namespace

/// From values to the picture's coordinates, the chart's left edge being 0.
struct Chart::Frame {
  double x_low, x_high, y_low, y_high;

  double X(double x) const {
    return kLeft + (kWidth - kLeft - kRight) * std::log(x / x_low) / std::log(x_high / x_low);
  }
  double Y(double y) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * std::log(y / y_low) / std::log(y_high / y_low);
  }
};

/// To whole powers of two on the axis of x, and a little more than the points need on the other.
Chart::Frame Chart::Fit() const {
  double x_low = std::numeric_limits<double>::infinity(), x_high = 0, y_low = x_low, y_high = top_;
  for (const Point& point : points_) {
    x_low = std::min(x_low, point.x), x_high = std::max(x_high, point.x);
    y_low = std::min(y_low, point.y), y_high = std::max(y_high, point.y);
  }
  x_low = std::exp2(std::floor(std::log2(x_low))), x_high = std::exp2(std::ceil(std::log2(x_high) + 1e-9));
  return {x_low, std::max(x_high, 2 * x_low), y_low / 1.3, y_high * 1.3};
}

std::string Chart::Axes(const Frame& frame) const {
  constexpr std::string_view kGrid = "stroke=\"#ddd\"", kAxis = "stroke=\"#333\"";
  std::string svg = Text(kLeft, kTop - 14, title_, "font-weight=\"bold\"");
  const double octaves = std::log2(frame.x_high / frame.x_low), step = octaves > 10 ? 4 : 2;
  for (double x = frame.x_low; x <= frame.x_high * 1.001; x *= step) {
    svg += Line(frame.X(x), kTop, frame.X(x), kHeight - kBottom, kGrid);
    svg += Text(frame.X(x), kHeight - kBottom + 16, Number(x), "text-anchor=\"middle\"");
  }
  for (double decade = std::pow(10, std::floor(std::log10(frame.y_low))); decade <= frame.y_high; decade *= 10)
    for (const double digit : {1, 2, 5}) {
      const double y = decade * digit;
      if (y < frame.y_low || y > frame.y_high) continue;
      svg += Line(kLeft, frame.Y(y), kWidth - kRight, frame.Y(y), kGrid);
      svg += Text(kLeft - 6, frame.Y(y) + 4, Number(y), "text-anchor=\"end\"");
    }
  svg += Line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, kAxis);
  svg += Line(kLeft, kTop, kLeft, kHeight - kBottom, kAxis);
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - kBottom + 34, x_axis_, "text-anchor=\"middle\"");
  return svg + Text(kLeft - 6, kTop - 14, y_axis_, "text-anchor=\"end\"");
}

std::string Chart::Marks(const Frame& frame) const {
  std::string svg;
  for (const double x : columns_)
    svg += Line(frame.X(x), kTop, frame.X(x), kHeight - kBottom,
                "stroke=\"#888\" stroke-width=\"0.6\" stroke-dasharray=\"2 3\"");
  if (!columns_.empty())
    svg += Text(kWidth - kRight, kTop - 2, "dotted: " + columns_name_, "text-anchor=\"end\" font-size=\"10\"");
  if (top_ <= 0) return svg;
  const double ridge = std::clamp(top_ / slope_, frame.x_low, frame.x_high);
  const double foot = std::clamp(frame.y_low / slope_, frame.x_low, ridge);
  constexpr std::string_view kStyle = "stroke=\"#333\" stroke-width=\"1.5\"";
  svg += Line(frame.X(foot), frame.Y(std::min(top_, slope_ * foot)), frame.X(ridge),
              frame.Y(std::min(top_, slope_ * ridge)), kStyle);
  if (slope_ * frame.x_high > top_)
    svg += Line(frame.X(ridge), frame.Y(top_), frame.X(frame.x_high), frame.Y(top_), kStyle);
  return svg + Text(kWidth - kRight, kTop - 2, "line: " + roof_name_, "text-anchor=\"end\" font-size=\"10\"");
}

std::string Chart::Points(const Frame& frame, const std::vector<std::string>& names) const {
  std::string svg;
  for (const Point& point : points_) {
    const auto name = static_cast<std::size_t>(std::find(names.begin(), names.end(), point.name) - names.begin());
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.2\" fill=\"{}\"><title>{}: {}, {}</title></circle>\n",
                       frame.X(point.x), frame.Y(point.y), kColours[name % std::size(kColours)], Escaped(point.name),
                       Number(point.x), Number(point.y));
  }
  return svg;
}

std::string ToSvg(const std::string& title, const std::string& legend, const std::vector<Chart>& charts) {
  std::vector<std::string> names;
  for (const Chart& chart : charts)
    for (const Chart::Point& point : chart.points_)
      if (std::find(names.begin(), names.end(), point.name) == names.end()) names.push_back(point.name);
  const double width = kWidth * static_cast<double>(charts.size());
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      width, kHeight + 24);
  svg += Text(12, 20, title, "font-size=\"15\"");
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const Chart::Frame frame = charts[i].Fit();
    svg += fmt::format("<g transform=\"translate({:.0f} 0)\">\n", kWidth * static_cast<double>(i));
    svg += charts[i].Axes(frame) + charts[i].Marks(frame) + charts[i].Points(frame, names) + "</g>\n";
  }
  double x = kLeft;
  svg += Text(12, kHeight + 12, legend);
  for (std::size_t i = 0; i < names.size(); ++i, x += 90) {
    svg += fmt::format("<circle cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"4\" fill=\"{}\"/>\n", x + 30, kHeight + 8,
                       kColours[i % std::size(kColours)]);
    svg += Text(x + 38, kHeight + 12, names[i]);
  }
  return svg + "</svg>\n";
}

}  // namespace gemmsmith::cli
