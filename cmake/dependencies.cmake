find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(asmjit REQUIRED CONFIG PATHS ${CMAKE_INSTALL_FULL_LIBDIR}/cmake /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/asmjit)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
# Debian has it as a shared library only: programs that run elsewhere take it along (tools/gpu_check.sh).
pkg_check_modules(SIMDJSON REQUIRED IMPORTED_TARGET simdjson)

# Debian's libasmjit.a is compiled for executables: of data outside it, it addresses only `stderr`, in a way that a
# shared library cannot. All of it goes into our libraries as one object, which names a hidden variable of ours instead
# (src/jit/x86/asmjit_stderr.cc); who links libgemmsmith.a then needs no AsmJit.
get_target_property(asmjit_archive asmjit::asmjit LOCATION)
set(gemmsmith_asmjit_object ${PROJECT_BINARY_DIR}/asmjit.o)
add_custom_command(
  OUTPUT ${gemmsmith_asmjit_object}
  COMMAND ${CMAKE_LINKER} -r --whole-archive ${asmjit_archive} -o ${gemmsmith_asmjit_object}
  COMMAND ${CMAKE_OBJCOPY} --redefine-sym stderr=gemmsmith_asmjit_stderr ${gemmsmith_asmjit_object}
  DEPENDS ${asmjit_archive}
  COMMENT "Making AsmJit fit for a shared library"
  VERBATIM)
add_custom_target(gemmsmith_asmjit_object_made DEPENDS ${gemmsmith_asmjit_object})
add_library(gemmsmith_asmjit INTERFACE)
target_link_libraries(gemmsmith_asmjit INTERFACE rt)
target_compile_definitions(gemmsmith_asmjit INTERFACE ASMJIT_STATIC)

# fmt and spdlog: the shared libraries, or their headers where the program must run elsewhere.
if(GEMMSMITH_STATIC_RUN)
  set(gemmsmith_text_libraries fmt::fmt-header-only spdlog::spdlog_header_only)
  set(gemmsmith_data_libraries libzstd.a libxxhash.a libsodium.a libz.a libsqlite3.a m PkgConfig::SIMDJSON)
  set(gemmsmith_link_names zstd xxhash sodium z sqlite3 simdjson m rt dl pthread)
  # What a carried library needs is looked for there, too: not so by the newer tag.
  add_link_options(-static-libstdc++ -static-libgcc LINKER:--disable-new-dtags)
  set(CMAKE_BUILD_RPATH "$ORIGIN/../lib")
else()
  set(gemmsmith_text_libraries fmt::fmt spdlog::spdlog)
  set(gemmsmith_data_libraries PkgConfig::ZSTD PkgConfig::XXHASH PkgConfig::SODIUM PkgConfig::ZLIB PkgConfig::SQLITE
      PkgConfig::SIMDJSON)
  set(gemmsmith_link_names spdlog fmt zstd xxhash sodium z sqlite3 simdjson rt dl pthread)
endif()
