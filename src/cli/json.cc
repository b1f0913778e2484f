#include "cli/json.h"

namespace gemmsmith::cli {

std::string Dump(const Json& document) { return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json ToJson(const GemmProblem& p) {
  Json json = {{"m", p.m},
               {"n", p.n},
               {"k", p.k},
               {"batch", p.batch},
               {"a_type", ToString(p.a_type)},
               {"b_type", ToString(p.b_type)},
               {"d_type", ToString(p.d_type)},
               {"acc_type", ToString(p.acc_type)},
               {"compute", ToString(p.compute)},
               {"layout", LayoutName(p)}};
  if (p.grouping != Grouping::kNone) json["grouping"] = ToString(p.grouping), json["groups"] = p.groups;
  return json;
}

Json ToJson(const KernelReport& k) {
  return {{"name", k.name},
          {"problem", k.problem},
          {"config", k.config},
          {"arch", k.target},
          {"compiler", k.compiler},
          {"options", k.options},
          {"key", k.key},
          {"key_text", k.key_text},
          {"origin", ToString(k.origin)},
          {"compile_ms", k.compile_ms},
          {"obtain_ms", k.obtain_ms},
          {"code_bytes", k.code_bytes},
          {"dynamic_shared_bytes", k.dynamic_shared_bytes},
          {"static_shared_bytes", k.resources.static_shared_bytes},
          {"registers", k.resources.registers},
          {"spill_bytes", k.resources.spill_bytes},
          {"max_threads", k.resources.max_threads},
          {"log", k.log},
          {"source", k.source}};
}

Json ToJson(const StageTime& t) {
  return {{"stage", t.stage}, {"kernel", t.kernel}, {"count", t.count}, {"total_ms", t.total_ms}, {"max_ms", t.max_ms}};
}

Json ToJson(const DeviceSpec& s) {
  return {{"name", s.name},
          {"arch", ToString(s.target)},
          {"multiprocessors", s.multiprocessors},
          {"clock_ghz", s.clock_ghz},
          {"peak_f32_gflops", s.PeakGflops(DType::kF32)},
          {"peak_f64_gflops", s.PeakGflops(DType::kF64)},
          {"peak_tensor_gflops", s.multiprocessors * s.clock_ghz * s.tensor_flops_per_clock},
          {"memory_gbps", s.memory_gbps},
          {"memory_gib", s.memory_gib},
          {"l1_bytes", s.l1_bytes},
          {"l2_bytes", s.l2_bytes},
          {"l3_bytes", s.l3_bytes},
          {"shared_bytes", s.shared_bytes}};
}

Json ToJson(const Finding& f) {
  return {
      {"item", f.item}, {"status", ToString(f.status)}, {"version", f.version}, {"path", f.path}, {"remedy", f.remedy}};
}

Json ToJson(const CacheStats& s) {
  return {{"directory", s.directory},    {"disk_status", s.disk_status},       {"disk_kernels", s.disk_kernels},
          {"disk_bytes", s.disk_bytes},  {"bundle_kernels", s.bundle_kernels}, {"bundle_bytes", s.bundle_bytes},
          {"quarantined", s.quarantined}};
}

Json ToJson(const CacheHistory& h) {
  return {{"memory_hits", h.memory_hits},
          {"disk_hits", h.disk_hits},
          {"bundle_hits", h.bundle_hits},
          {"misses", h.misses},
          {"saved_compile_ms", h.saved_compile_ms}};
}

Json ToJson(const CachedKernel& k) {
  return {{"key", k.key},
          {"name", k.kernel_name},
          {"arch", k.arch},
          {"problem", k.problem},
          {"config", k.config},
          {"compiler", k.compiler},
          {"stored_bytes", k.stored_bytes},
          {"ptx_bytes", k.ptx_size},
          {"cubin_bytes", k.cubin_size},
          {"compile_ms", k.compile_ms},
          {"usage_count", k.usage_count},
          {"created", k.created_unix},
          {"last_used", k.last_used_unix},
          {"registers", k.resources.registers},
          {"spill_bytes", k.resources.spill_bytes},
          {"static_shared_bytes", k.resources.static_shared_bytes},
          {"max_threads", k.resources.max_threads}};
}

Json ToJson(const CachedKernelDetails& d) {
  Json json = ToJson(d.kernel);
  json.update({{"path", d.path}, {"key_text", d.key_text}, {"log", d.log}, {"source", d.source}});
  return json;
}

Json ToJson(const IntegrityReport& r) {
  Json broken = Json::array();
  for (const BrokenKernel& kernel : r.broken) broken.push_back({{"key", kernel.key}, {"reason", kernel.reason}});
  return {{"checked", r.checked}, {"other_format", r.other_format}, {"broken", broken}, {"repaired", r.repaired}};
}

Json ToJson(const PruneReport& r) {
  return {{"removed_kernels", r.removed_kernels},
          {"removed_bytes", r.removed_bytes},
          {"kept_kernels", r.kept_kernels},
          {"kept_bytes", r.kept_bytes}};
}

Json ToJson(const RankedConfig& r) {
  Json terms = Json::object();
  for (const CostTerm& term : r.terms) terms[term.name] = term.microseconds;
  return {{"config", ToString(r.config)}, {"microseconds", r.microseconds}, {"limiting", r.limiting}, {"terms", terms}};
}

Json ErrorJson(std::string_view code, std::string_view message, std::string_view remedy) {
  return {{"error", {{"code", code}, {"message", message}, {"remedy", remedy}}}};
}

std::string_view ToString(Finding::Status status) {
  switch (status) {
    case Finding::Status::kOk:
      return "ok";
    case Finding::Status::kMissing:
      return "missing";
    case Finding::Status::kWarning:
      return "warning";
  }
  return "unknown";
}

}  // namespace gemmsmith::cli
