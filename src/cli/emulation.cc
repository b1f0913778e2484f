#include "cli/emulation.h"

#include <fmt/format.h>

#include <utility>

#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

template <class Traffic>
using Member = std::pair<const char*, Traffic KernelStatistics::*>;

// Names in the JSON document, and in the tables.
constexpr Member<MemoryTraffic> kGlobal[] = {{"loads", &KernelStatistics::global_loads},
                                             {"stores", &KernelStatistics::global_stores},
                                             {"atomics", &KernelStatistics::global_atomics},
                                             {"cp_async", &KernelStatistics::copy_loads}};
constexpr Member<MemoryTraffic> kLocal[] = {{"loads", &KernelStatistics::local_loads},
                                            {"stores", &KernelStatistics::local_stores}};
constexpr Member<SharedTraffic> kShared[] = {
    {"loads", &KernelStatistics::shared_loads},     {"stores", &KernelStatistics::shared_stores},
    {"atomics", &KernelStatistics::shared_atomics}, {"ldmatrix", &KernelStatistics::matrix_loads},
    {"stmatrix", &KernelStatistics::matrix_stores}, {"cp_async", &KernelStatistics::copy_stores}};
constexpr Member<BulkTraffic> kBulk[] = {{"loads", &KernelStatistics::bulk_loads},
                                         {"stores", &KernelStatistics::bulk_stores},
                                         {"reductions", &KernelStatistics::bulk_reductions},
                                         {"exchanges", &KernelStatistics::bulk_exchanges}};
constexpr Member<std::uint64_t> kWaits[] = {{"cta_barrier", &KernelStatistics::cta_barrier_waits},
                                            {"cluster_barrier", &KernelStatistics::cluster_barrier_waits},
                                            {"mbarrier", &KernelStatistics::mbarrier_waits}};

Json ToJson(const MemoryTraffic& t) {
  return {{"requests", t.requests},
          {"sectors", t.sectors},
          {"bytes", t.bytes},
          {"distinct_bytes", t.distinct_bytes},
          {"sectors_per_request", t.sectors_per_request()},
          {"coalescing", t.coalescing()}};
}
Json ToJson(const SharedTraffic& t) {
  return {{"requests", t.requests},
          {"bytes", t.bytes},
          {"wavefronts", t.wavefronts},
          {"conflicts", t.conflicts},
          {"conflicts_per_request", t.conflicts_per_request()}};
}
Json ToJson(const BulkTraffic& t) {
  return {{"copies", t.copies}, {"global_bytes", t.global_bytes}, {"shared_bytes", t.shared_bytes}};
}
Json ToJson(std::uint64_t count) { return count; }

template <class Traffic, std::size_t kCount>
Json ToJson(const KernelStatistics& kernel, const Member<Traffic> (&members)[kCount]) {
  Json json;
  for (const auto& [name, member] : members) json[name] = ToJson(kernel.*member);
  return json;
}

Json ToJson(const KernelStatistics& k) {
  Json classes = Json::object(), products = Json::array();
  for (const ClassCount& c : k.classes) classes[c.name] = c.instructions;
  for (const ProductCount& p : k.products)
    products.push_back({{"name", p.name}, {"products", p.products}, {"multiply_adds", p.multiply_adds}});
  Json copies = ToJson(k, kBulk);
  copies["multicasts"] = k.multicasts;
  return {{"kernel", k.kernel},
          {"launches", k.launches},
          {"rounds", k.rounds},
          {"instructions", k.instructions},
          {"lane_instructions", k.lane_instructions},
          {"divergent_instructions", k.divergent_instructions},
          {"branches", k.branches},
          {"divergent_branches", k.divergent_branches},
          {"classes", classes},
          {"tensor_cores", products},
          {"global", ToJson(k, kGlobal)},
          {"local", ToJson(k, kLocal)},
          {"shared", ToJson(k, kShared)},
          {"remote", {{"requests", k.remote_requests}, {"bytes", k.remote_bytes}}},
          {"bulk", copies},
          {"waits", ToJson(k, kWaits)}};
}

std::string Text(std::uint64_t count) { return std::to_string(count); }
std::string Counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}
/// The first cell of a row beneath a title.
std::string Indented(const std::string& name) { return "  " + name; }
std::string Percent(double part) { return fmt::format("{:.1f} %", 100 * part); }
double Ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

void PrintWork(const KernelStatistics& k) {
  Table work({{"work", -30}, {"instructions", 14}, {"", 10}});
  for (const ClassCount& c : k.classes)
    work.Row({Indented(c.name), Text(c.instructions), Percent(Ratio(c.instructions, k.instructions))});
  work.Row({"  all", Text(k.instructions), ""});
  work.Row({"  while the warp is divergent", Text(k.divergent_instructions),
            Percent(Ratio(k.divergent_instructions, k.instructions))});
  work.Row(
      {"  branches that part a warp", Text(k.divergent_branches), Percent(Ratio(k.divergent_branches, k.branches))});
  work.Row({"  lanes of an instruction", fmt::format("{:.2f}", Ratio(k.lane_instructions, k.instructions)), ""});
}

void PrintProducts(const KernelStatistics& k) {
  Table products({{"tensor cores", -40}, {"products", 14}, {"multiply-adds", 16}});
  for (const ProductCount& p : k.products) products.Row({Indented(p.name), Text(p.products), Text(p.multiply_adds)});
}

template <std::size_t kCount>
void PrintMemory(const char* title, const KernelStatistics& k, const Member<MemoryTraffic> (&members)[kCount]) {
  Table table({{title, -20}, {"requests", 12}, {"sectors", 12}, {"/ request", 10}, {"bytes", 14}, {"coalesced", 10}});
  for (const auto& [name, member] : members)
    if (const MemoryTraffic& t = k.*member; t.requests != 0)
      table.Row({Indented(name), Text(t.requests), Text(t.sectors), fmt::format("{:.2f}", t.sectors_per_request()),
                 Text(t.bytes), Percent(t.coalescing())});
}

void PrintShared(const KernelStatistics& k) {
  Table table({{"shared memory", -20},
               {"requests", 12},
               {"wavefronts", 12},
               {"conflicts", 10},
               {"/ request", 10},
               {"bytes", 14}});
  for (const auto& [name, member] : kShared)
    if (const SharedTraffic& t = k.*member; t.requests != 0)
      table.Row({Indented(name), Text(t.requests), Text(t.wavefronts), Text(t.conflicts),
                 fmt::format("{:.2f}", t.conflicts_per_request()), Text(t.bytes)});
  if (k.remote_requests != 0)
    table.Row({"  of other CTAs", Text(k.remote_requests), "-", "-", "-", Text(k.remote_bytes)});
}

void PrintCopies(const KernelStatistics& k) {
  Table table({{"asynchronous copies", -20}, {"copies", 12}, {"global bytes", 14}, {"shared bytes", 14}});
  if (k.copy_stores.requests != 0)
    table.Row({"  cp_async", Text(k.copy_stores.requests), Text(k.copy_loads.bytes), Text(k.copy_stores.bytes)});
  for (const auto& [name, member] : kBulk)
    if (const BulkTraffic& t = k.*member; t.copies != 0)
      table.Row({std::string("  bulk ") + name, Text(t.copies), Text(t.global_bytes), Text(t.shared_bytes)});
  if (k.multicasts != 0) table.Row({"  of them multicast", Text(k.multicasts), "", ""});
}

void PrintWaits(const KernelStatistics& k) {
  Table table({{"waits of warps", -20}, {"ended", 12}});
  for (const auto& [name, member] : kWaits)
    if (k.*member != 0) table.Row({Indented(name), Text(k.*member)});
}

}  // namespace

Emulation& EmulationOf(Session& session, std::string_view option) {
  Device& device = session.engine().devices().Get(session.device());
  if (device.emulation() == nullptr)
    throw Error(Code::kUnsupported,
                fmt::format("run: {} is for emulated devices, not for {}", option, ToString(device.id())),
                "name one, such as --device emulator:sm_90a; gemmsmith devices lists them");
  return *device.emulation();
}

Json ToJson(const std::vector<KernelStatistics>& kernels) {
  Json list = Json::array();
  for (const KernelStatistics& kernel : kernels) list.push_back(ToJson(kernel));
  return list;
}

void PrintStatistics(const std::string& problem, const std::vector<KernelStatistics>& kernels) {
  for (const KernelStatistics& k : kernels) {
    fmt::print("\n{}{}: {}, {}\n", problem.empty() ? "" : problem + ": ", k.kernel,
               Counted(k.launches, "launch", "launches"), Counted(k.rounds, "round", "rounds"));
    PrintWork(k);
    PrintProducts(k);
    PrintMemory("global memory", k, kGlobal);
    PrintMemory("local memory", k, kLocal);
    PrintShared(k);
    PrintCopies(k);
    PrintWaits(k);
  }
}

}  // namespace gemmsmith::cli
