#include <filesystem>
#include <fstream>

#include "cli/ahead.h"
#include "cli/command.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddEpilogue(app, options);
  AddTarget(app, options);
  AddCompiling(app, options);
  AddEmit(app, options);
  AddJobs(app, options);
  AddCacheDir(app, options);
  AddInsight(app, options);
  AddOutput(app, options);
  RequireAhead(app, options);
}

void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) throw Error(Code::kIo, "cannot write " + path.string(), "give --out a folder that can be written");
}

/// A kernel's name holds what a file's name cannot.
std::string FileName(const AheadKernel& kernel) {
  std::string name = kernel.report.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  return name + "." + kernel.report.target + "." + kernel.report.key.substr(0, 8);
}

/// Writes one part of a kernel; returns the file's path. Beside a source lie the headers that it includes.
std::string Emit(Engine& engine, const AheadKernel& kernel, const GemmProblem& problem, const std::string& part,
                 const std::filesystem::path& folder) {
  const KernelSource source = engine.Render(problem, kernel.target.target, kernel.target.spec);
  const bool cuda = source.target.isa == Isa::kCuda;
  const std::filesystem::path path = folder / (FileName(kernel) + (part != "source" ? "." + part
                                                                   : cuda           ? ".cu"
                                                                                    : ".txt"));
  WriteFile(path, engine.Emit(source, part));
  if (part == "source")
    for (const SourceHeader& header : source.headers) {
      std::filesystem::create_directories((folder / header.name).parent_path());
      WriteFile(folder / header.name, header.text);
    }
  return path.string();
}

std::vector<std::string> EmitAll(Session& session, const AheadResult& result) {
  const std::filesystem::path folder = session.options().out;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Error(Code::kIo, "cannot make the folder " + folder.string() + ": " + error.message(),
                "give --out another one");
  std::vector<std::string> files;
  for (const AheadKernel& kernel : result.kernels)
    for (const std::string& part : session.options().emit)
      files.push_back(Emit(session.engine(), kernel, kernel.problem, part, folder));
  return files;
}

Outcome Compile(Session& session) {
  const AheadResult result = CompileAll(session.engine(), WorkOf(session), Jobs(session.options()));
  Outcome outcome{true, ToJson(result)};
  if (session.text()) {
    PrintKernels(result);
    fmt::print("\n{} distinct kernels for {} problems in {} s\n", result.kernels.size(), result.problems,
               Number(result.seconds));
  }
  if (!session.options().emit.empty()) {
    const std::vector<std::string> files = EmitAll(session, result);
    outcome.document["files"] = files;
    if (session.text())
      for (const std::string& file : files) fmt::print("wrote {}\n", file);
  }
  return outcome;
}

}  // namespace

const Command kCompile = {
    "compile", "Compile kernels ahead of time, into the cache; needs no GPU",
    "gemmsmith compile --arch sm_90a --m 4096 --n 7168 --k 2048 --dtype bf16\n"
    "  gemmsmith compile --arch sm_80,sm_90a --shapes deepseek-v3 --dtype bf16 --emit source,ptx --out kernels",
    AddOptions, Compile};

}  // namespace gemmsmith::cli
