// `gemmsmith cache report`: what is in the page, as text and as a browser shows it.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <regex>

#include "../support/cache_testing.h"
#include "../support/cli_testing.h"
#include "../support/results_testing.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/usage.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::KeyOf;
using testing::MakeArtifact;
using ::testing::Not;

/// The rows of a table, each a field's name and value.
using Row = std::map<std::string, std::string>;

std::string Unescaped(std::string text) {
  for (const auto& [entity, character] : {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&amp;", "&"}})
    for (std::size_t at = 0; (at = text.find(entity, at)) != text.npos; ++at)
      text.replace(at, std::strlen(entity), character);
  return text;
}

std::size_t Count(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) ++count;
  return count;
}

class Report : public Cli {
 protected:
  void Put(const std::string& name, const char* arch, std::size_t bytes, int uses, int key = 0) {
    Artifact artifact = MakeArtifact(name, random_, bytes);
    artifact.target = ParseTarget(arch);
    const CacheKey cache_key = KeyOf(fmt::format("k{}_{}_{}", key, arch, DigestOf(name).Hex()));
    DiskTier(Path("cache"), 60s).Put(cache_key, std::make_shared<const Artifact>(artifact));
    UsageBuffer buffer(Path("cache"));
    buffer.Miss(cache_key.digest.Hex());
    buffer.MemoryHit();
    for (int i = 0; i < uses; ++i) buffer.Hit(cache_key.digest.Hex(), Origin::kDisk, artifact.compile_ms);
  }
  void PutSome() {
    Put("simt_f32", "sm_80", 3'000, 2);
    Put("simt_f32", "sm_90a", 5'000, 7);
    Put("simt_f64", "sm_90a", 40'000, 0);
    Put("simt_f64", "sm_90a", 20'000, 1, 1);
  }
  /// Writes the page; the data that it was told to print.
  json Write() const { return Run("cache report --json --out " + Path("report.html")).Json(); }
  json Embedded() const {
    const std::string page = Read(Path("report.html")), begin = "id=\"data\">";
    const std::size_t from = page.find(begin) + begin.size();
    return json::parse(page.substr(from, page.find("</script>", from) - from), nullptr, false);
  }

  static std::string Browser() {
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
      if (std::system(fmt::format("command -v {} >/dev/null", name).c_str()) == 0) return name;
    return "";
  }
  /// The page as a browser leaves it, scripts run.
  std::string Rendered() const {
    const std::string command = fmt::format(
        "HOME={0} timeout 120 {1} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
        "--user-data-dir={0}/browser "
        "--dump-dom file://{0}/report.html >{0}/dom 2>{0}/browser.log",
        Path("."), Browser());
    EXPECT_EQ(std::system(command.c_str()), 0) << Read(Path("browser.log"));
    return Read(Path("dom"));
  }
  /// What is between the element `id` and the end of its section.
  static std::string Section(const std::string& dom, const std::string& id) {
    const std::size_t from = dom.find("id=\"" + id + "\"");
    EXPECT_NE(from, dom.npos) << id;
    return from == dom.npos ? "" : dom.substr(from, dom.find("</section>", from) - from);
  }
  static Row Fields(const std::string& html) {
    static const std::regex field("data-field=\"([^\"]*)\" data-value=\"([^\"]*)\"");
    Row row;
    for (std::sregex_iterator i(html.begin(), html.end(), field), end; i != end; ++i) row[(*i)[1]] = Unescaped((*i)[2]);
    return row;
  }
  static std::vector<Row> Rows(const std::string& html) {
    std::vector<Row> rows;
    for (std::size_t at = html.find("<tbody>"); (at = html.find("<tr>", at)) != html.npos; ++at)
      rows.push_back(Fields(html.substr(at, html.find("</tr>", at) - at)));
    return rows;
  }
  static void ExpectEqual(const std::vector<Row>& rows, const json& expected) {
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (const auto& [field, value] : rows[i]) {
        const json& wanted = expected[i].at(field);
        if (wanted.is_string())
          EXPECT_EQ(value, wanted) << field;
        else
          EXPECT_DOUBLE_EQ(std::stod(value), wanted.get<double>()) << field;
      }
  }

  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
};

TEST_F(Report, HasTheDataThatTheOtherCommandsPrint) {
  PutSome();
  fs::create_directories(Path("cache/quarantine"));
  testing::WriteFile(Path("cache/quarantine/" + std::string(32, 'a') + ".gsk"), "broken");
  const json report = Write(), stats = Run("cache stats --json").Json();
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report, Embedded());
  EXPECT_EQ(report["kernels"], 4);
  EXPECT_EQ(report["kernels"], stats["disk_kernels"]);
  EXPECT_EQ(report["bytes"], stats["disk_bytes"]);
  EXPECT_EQ(report["history"], stats["history"]);
  EXPECT_EQ(report["history"]["disk_hits"], 10);
  EXPECT_EQ(report["history"]["memory_hits"], 4);
  EXPECT_EQ(report["quarantined"], 1);
  EXPECT_EQ(report["quarantine"][0]["key"], std::string(32, 'a'));
  EXPECT_THAT(report["quarantine"][0]["reason"].get<std::string>(), HasSubstr("no cache entry"));
  EXPECT_EQ(report["limits"]["kernels"], (json{{"used", 4}, {"limit", 20'000}}));
  EXPECT_EQ(report["limits"]["bytes"]["used"], stats["disk_bytes"]);
  EXPECT_EQ(report["samples"].size(), 1u) << "one an hour";
  EXPECT_EQ(report["samples"][0]["kernels"], 1);

  std::map<std::string, double> bytes, saved;
  for (const json& kernel : List("cache list --json", "kernels")) {
    bytes[kernel["arch"]] += kernel["stored_bytes"].get<double>();
    saved[kernel["arch"]] += kernel["compile_ms"].get<double>() * kernel["usage_count"].get<double>();
  }
  ASSERT_EQ(report["by_arch"].size(), 2u);
  for (const json& row : report["by_arch"]) {
    EXPECT_EQ(row["bytes"], bytes[row["name"]]);
    EXPECT_DOUBLE_EQ(row["saved_ms"], saved[row["name"]]);
  }
  EXPECT_EQ(report["biggest"][0]["key"], List("cache list --json --sort size --limit 1", "kernels")[0]["key"]);
  EXPECT_EQ(report["most_used"][0]["usage_count"], 7);
  EXPECT_EQ(report["most_used"].size(), 3u) << "one was not used";
  EXPECT_EQ(report["oldest"].size(), 4u);
}

TEST_F(Report, OfManyKernelsListsSomeAndAddsUpTheOthers) {
  for (int i = 0; i < 30; ++i) Put(fmt::format("kernel_{}", i), "sm_90a", 500, i);
  const json report = Write();
  EXPECT_EQ(report["biggest"].size(), 20u);
  ASSERT_EQ(report["by_kernel"].size(), 20u);
  const json& others = report["by_kernel_others"];
  EXPECT_EQ(others["names"], 10);
  std::uint64_t kernels = others["kernels"], bytes = others["bytes"], uses = others["usage_count"];
  for (const json& row : report["by_kernel"]) {
    kernels += row["kernels"].get<std::uint64_t>();
    bytes += row["bytes"].get<std::uint64_t>();
    uses += row["usage_count"].get<std::uint64_t>();
  }
  EXPECT_EQ(kernels, 30u);
  EXPECT_EQ(bytes, report["bytes"]);
  EXPECT_EQ(uses, 29u * 30 / 2);
}

TEST_F(Report, ShowsTheDatabasesOfResultsAndTheFastestConfigs) {
  const std::string device = R"({"device":"</script><b>a GPU","multiprocessors":7,"target":"sm_90a"})";
  {
    ResultsDatabase results(testing::kChip, {.directory = Path("cache/results")});
    for (int m = 1; m <= 5; ++m) results.Put(testing::KeyOfShape(m), testing::ResultOf(m));
    for (int m = 4; m <= 7; ++m) results.Find(testing::KeyOfShape(m));
    ResultsDatabase timed(device, {.directory = Path("cache/results"), .storage = ResultsStorage::kSqlite});
    timed.AddTuning(testing::Timed("slow", {30, 31, 32}));
    timed.AddTuning(testing::Timed("edited since", {1}, "old code"));
    timed.AddTuning(testing::Timed("edited since", {40}, "new code"));
    timed.AddTuning(testing::Timed("fast", {10, 12, 11}));
    TuningRecord wrong = testing::Timed("wrong", {5});
    wrong.wrong = "off by one";
    timed.AddTuning(wrong);
  }
  const json report = Write();
  EXPECT_EQ(report, Embedded());
  EXPECT_EQ(report["results_databases"], 2);
  ASSERT_EQ(report["results"].size(), 2u);
  const int first = report["results"][0]["entries"] == 5 ? 0 : 1;
  const json &chip = report["results"][first], &gpu = report["results"][1 - first];
  EXPECT_EQ(chip["name"], "SG2262, 64 cores");
  EXPECT_EQ(chip["hits"], 2);
  EXPECT_EQ(chip["misses"], 2);
  EXPECT_EQ(chip["hit_rate"], 0.5);
  EXPECT_NEAR(chip["search_hours"].get<double>(), 5 * 12.5 / 3.6e6, 1e-12);
  EXPECT_EQ(gpu["name"], "</script><b>a GPU, 7 cores");
  EXPECT_EQ(gpu["storage"], "sqlite");
  EXPECT_EQ(gpu["tuning_records"], 5);
  EXPECT_EQ(report["timed_problems"], 1);
  ASSERT_EQ(report["fastest"].size(), 1u);
  EXPECT_EQ(report["fastest"][0]["config"], "fast");
  EXPECT_EQ(report["fastest"][0]["median_us"], 11);
  EXPECT_EQ(report["fastest"][0]["configs"], 3) << "one is wrong";
  if (Browser().empty()) GTEST_SKIP() << "no Chromium: tools/setup.sh browser installs it";
  const std::string dom = Rendered();
  ExpectEqual(Rows(Section(dom, "results")), report["results"]);
  ExpectEqual(Rows(Section(dom, "fastest")), report["fastest"]);
  EXPECT_THAT(Section(dom, "results"), Not(HasSubstr("<b>")));
}

TEST_F(Report, ThePageNeedsNothingButItself) {
  PutSome();
  Write();
  const std::string page = Read(Path("report.html"));
  for (const char* part : {"http:", "https:", "//cdn", "src=", "href=", "url(", "@import", "import(", "fetch("})
    EXPECT_THAT(page, Not(HasSubstr(part)));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("innerHTML")));
}

TEST_F(Report, ANameNeverBecomesMarkup) {
  Write();
  const std::string empty = Read(Path("report.html"));
  const std::string names[] = {"</script><script>document.title='taken'</script>",
                               "<img src=x onerror=\"document.title='taken'\">",
                               "<!--<script>",
                               "\"'`\\${document.title='taken'}",
                               "@DATA@",
                               "\xff\xfe \xc3",
                               std::string("nul\0and\nmore", 12),
                               "\xe2\x80\xa8\xe2\x80\xa9",
                               std::string(100'000, '<')};
  for (const std::string& name : names) Put(name, "sm_90a", 300, 1);
  const json report = Write();
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report, Embedded());
  EXPECT_EQ(report["by_kernel"].size(), std::size(names));
  const std::string page = Read(Path("report.html"));
  EXPECT_EQ(Count(page, "<"), Count(empty, "<"));
  EXPECT_LT(page.size(), 100'000u);
  if (Browser().empty()) GTEST_SKIP() << "no Chromium: tools/setup.sh browser installs it";
  const std::string dom = Rendered();
  EXPECT_THAT(dom, HasSubstr("<title>gemmsmith kernel cache</title>"));
  EXPECT_THAT(Section(dom, "by_kernel"), Not(HasSubstr("<img")));
  std::vector<std::string> shown;
  for (const Row& row : Rows(Section(dom, "by_kernel"))) shown.push_back(row.at("name"));
  EXPECT_THAT(shown, ::testing::Contains(names[0]));
  EXPECT_THAT(shown, ::testing::Contains(names[1]));
}

TEST_F(Report, ATimeThatCannotBeCountsAsNone) {
  const double times[] = {std::nan(""), std::numeric_limits<double>::infinity(), -1, 1e300, 100};
  for (const double time : times) {
    Artifact artifact = MakeArtifact(fmt::format("f{}", time), random_);
    artifact.compile_ms = time;
    DiskTier(Path("cache"), 60s).Put(KeyOf(artifact.kernel_name), std::make_shared<const Artifact>(artifact));
    UsageBuffer(Path("cache")).Hit(KeyOf(artifact.kernel_name).digest.Hex(), Origin::kDisk, 0);
  }
  const json report = Write();
  ASSERT_EQ(report["by_kernel"].size(), std::size(times));
  EXPECT_EQ(report["by_kernel"][0]["saved_ms"], 100);
  EXPECT_EQ(report["by_arch"][0]["saved_ms"], 100);
}

TEST_F(Report, ABrowserShowsTheNumbersOfTheCache) {
  if (Browser().empty()) GTEST_SKIP() << "no Chromium: tools/setup.sh browser installs it";
  PutSome();
  // Made by the command line, where there is a compiler.
  if (HasNvrtc()) {
    EXPECT_EQ(Run("compile --arch sm_80 --m 64 --n 64 --k 64").exit_code, 0);
  }
  const json report = Write(), stats = Run("cache stats --json").Json();
  const std::string dom = Rendered();
  const Row tiles = Fields(dom.substr(0, dom.find("</dl>")));
  EXPECT_EQ(tiles.at("kernels"), stats["disk_kernels"].dump());
  EXPECT_EQ(tiles.at("bytes"), stats["disk_bytes"].dump());
  EXPECT_EQ(tiles.at("hits"), "14");
  EXPECT_DOUBLE_EQ(std::stod(tiles.at("saved_compile_ms")), stats["history"]["saved_compile_ms"]);
  EXPECT_THAT(dom, HasSubstr(">" + stats["disk_kernels"].dump() + "</dd>"));

  const std::vector<Row> tiers = Rows(Section(dom, "tiers"));
  ASSERT_EQ(tiers.size(), 4u);
  const char* const fields[] = {"memory_hits", "disk_hits", "bundle_hits", "misses"};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(tiers[i].at("lookups"), stats["history"][fields[i]].dump());

  for (const char* id : {"by_arch", "by_kernel", "biggest", "most_used", "oldest"})
    ExpectEqual(Rows(Section(dom, id)), report[id]);
  for (const Row& row : Rows(Section(dom, "biggest"))) {
    const json kernel = Run("cache show --json " + row.at("key")).Json();
    EXPECT_EQ(row.at("stored_bytes"), kernel["stored_bytes"].dump());
    EXPECT_EQ(row.at("name"), kernel["name"]);
  }
  const Row now = Rows(Section(dom, "samples")).back();
  EXPECT_EQ(now.at("kernels"), stats["disk_kernels"].dump());
  const std::string charts = Section(dom, "charts");
  EXPECT_EQ(Count(charts, "<svg"), 3u);
  EXPECT_EQ(Count(charts, "<title>"), 3u);
  EXPECT_EQ(Count(charts, "<desc>"), 3u);
}

TEST_F(Report, AnEmptyCacheHasAPageToo) {
  const json report = Write();
  EXPECT_EQ(report["kernels"], 0);
  EXPECT_EQ(report["biggest"], json::array());
  EXPECT_FALSE(fs::exists(Path("cache")));
  if (Browser().empty()) GTEST_SKIP() << "no Chromium: tools/setup.sh browser installs it";
  const std::string dom = Rendered();
  EXPECT_THAT(Section(dom, "biggest"), HasSubstr("No kernels yet."));
  EXPECT_THAT(Section(dom, "quarantine"), HasSubstr("Nothing was set aside."));
  EXPECT_THAT(dom, HasSubstr("no lookups")) << "and no script stopped before";
}

TEST_F(Report, APageThatCannotBeWrittenIsAFailure) {
  const Result result = Run("cache report --json --out /nonexistent/report.html");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.Json()["error"]["code"], "I/O error");
  EXPECT_EQ(Run("cache report --out /dev/full").exit_code, 1);
}

}  // namespace
}  // namespace gemmsmith
