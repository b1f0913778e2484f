#include <algorithm>
#include <cmath>
#include <fstream>

#include "cli/chart.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/error.h"
#include "gemmsmith/target.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("--n", options.n, "Columns of B and D")->required()->check(CLI::Range(1, 1 << 30).description(""));
  app.add_option("--k", options.k, "Columns of A, rows of B")
      ->required()
      ->check(CLI::Range(1, 1 << 30).description(""));
  app.add_option("--most-m", options.m, "Rows of A and D go from 1 to this [8192]")
      ->check(CLI::Range(2, 1 << 24).description(""));
  AddDType(app, options, "bf16");
  AddForm(app, options);
  AddEpilogue(app, options);
  AddTarget(app, options);
  app.get_option("--arch")->expected(1);
  app.get_option("--arch")->excludes("--gpu");
  app.add_option("--out", options.out, "The picture, an SVG")->type_name("FILE")->required();
  AddOutput(app, options);
}

/// What is predicted for one m.
struct Point {
  std::int64_t m;
  RankedConfig best;
  double flops, bytes;

  double Term(std::string_view name) const {
    for (const CostTerm& term : best.terms)
      if (term.name == name) return term.microseconds;
    return 0;
  }
  double tflops() const { return flops / best.microseconds / 1e6; }
  /// Two points are of one wave if nothing but the work of the same rounds of tiles differs.
  bool SameWave(const Point& other) const {
    return best.config == other.best.config && Term("fill") == other.Term("fill");
  }
};

class Prediction {
 public:
  Prediction(Session& session, const DeviceSpec& spec, const CodeTarget& target)
      : session_(session), spec_(spec), target_(target) {}

  GemmProblem Problem(std::int64_t m) const {
    const Options& options = session_.options();
    GemmProblem p = MakeProblem(m, options.n, options.k, DType::kF32, options.layout);
    SetDTypes(p, options.dtype.empty() ? "bf16" : options.dtype);
    if (!options.compute.empty()) SetCompute(p, options.compute);
    if (!options.epilogue.empty()) SetEpilogue(p, Epilogue::Parse(options.epilogue));
    return p;
  }

  Point At(std::int64_t m) const {
    const GemmProblem p = Problem(m);
    Explanation explanation = session_.engine().Explain(p, target_, spec_);
    if (explanation.ranked.empty())
      throw Error(Code::kUnsupported, fmt::format("no kernel of {} can do it: {}", ToString(target_),
                                                  fmt::join(explanation.refused, "; ")));
    const auto size = [](DType dtype) { return static_cast<double>(SizeOf(dtype)); };
    const double rows = static_cast<double>(m), n = static_cast<double>(p.n), k = static_cast<double>(p.k);
    return {m, std::move(explanation.ranked.front()), 2 * rows * n * k,
            rows * k * size(p.a_type) + k * n * size(p.b_type) +
                rows * static_cast<double>(p.d_columns()) * size(p.d_type)};
  }
  /// Steps of 3 %, and either side of each place where another wave, or config, begins.
  std::vector<Point> Over(std::int64_t most) const {
    std::vector<Point> points = {At(1)};
    while (points.back().m < most) {
      const std::int64_t m = points.back().m;
      Point next = At(std::min(most, std::max(m + 1, static_cast<std::int64_t>(static_cast<double>(m) * 1.03))));
      Point last = points.back();
      while (!last.SameWave(next) && next.m - last.m > 1) {
        Point middle = At((last.m + next.m) / 2);
        (last.SameWave(middle) ? last : next) = std::move(middle);
      }
      if (last.m > m) points.push_back(std::move(last));
      points.push_back(std::move(next));
    }
    return points;
  }

 private:
  Session& session_;
  const DeviceSpec& spec_;
  const CodeTarget target_;
};

std::vector<double> WaveEdges(const std::vector<Point>& points) {
  std::vector<double> edges;
  for (std::size_t i = 1; i < points.size(); ++i)
    if (!points[i].SameWave(points[i - 1])) edges.push_back(static_cast<double>(points[i].m));
  return edges;
}

std::string Draw(const std::vector<Point>& points, const GemmProblem& last, const DeviceSpec& spec) {
  Chart time("predicted time", "m", "us"), roofline("roofline", "flop per byte of A, B and D", "TFLOP/s");
  for (const Point& point : points) {
    time.Add(point.best.limiting, static_cast<double>(point.m), point.best.microseconds);
    roofline.Add(point.best.limiting, point.flops / point.bytes, point.tflops());
  }
  time.MarkColumns("a wave of tiles, or a config, begins", WaveEdges(points));
  const double size = static_cast<double>(SizeOf(last.a_type));
  const bool tensor = points.back().best.config.family != "simt" && spec.tensor_flops_per_clock > 0;
  const double peak = tensor ? spec.multiprocessors * spec.clock_ghz * spec.tensor_flops_per_clock * 2 / size / 1e3
                             : spec.PeakGflops(last.acc_type) / 1e3;
  roofline.MarkRoof("datasheet: memory, then arithmetic", spec.memory_gbps / 1e3, peak);
  return ToSvg(fmt::format("up to {}, on {}", ToString(last), spec.name), "decided by", {time, roofline});
}

Outcome Run(Session& session) {
  const Options& options = session.options();
  const CodeTarget target = !options.arch.empty()  ? ParseTarget(options.arch.front())
                            : !options.gpu.empty() ? FindDeviceSpec(options.gpu).target
                                                   : CodeTarget{Isa::kCuda, 90, 'a'};
  const DeviceSpec& spec = GpuSpec(options, target);
  const Prediction prediction(session, spec, target);
  const std::int64_t most = options.m > 0 ? options.m : 8192;
  const std::vector<Point> points = prediction.Over(most);
  std::ofstream file(options.out);
  file << Draw(points, prediction.Problem(most), spec);
  file.close();
  if (!file) throw Error(Code::kIo, fmt::format("cannot write {}", options.out), "check folder and permissions");
  Json rows = Json::array();
  for (const Point& point : points)
    rows.push_back({{"m", point.m},
                    {"microseconds", point.best.microseconds},
                    {"tflops", point.tflops()},
                    {"limiting", point.best.limiting},
                    {"config", ToString(point.best.config)}});
  const std::vector<double> edges = WaveEdges(points);
  if (session.text()) fmt::print("{}: {} points, {} edges of waves\n", options.out, points.size(), edges.size());
  return {true, {{"file", options.out}, {"device", spec.name}, {"points", rows}, {"wave_edges", edges}}};
}

}  // namespace

const Command kPlot = {"plot", "Draw the predicted time of a product over m, and its roofline",
                       "gemmsmith plot --gpu h100 --n 4096 --k 7168 --dtype bf16 --out time.svg", AddOptions, Run};

}  // namespace gemmsmith::cli
